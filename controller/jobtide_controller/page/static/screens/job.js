// One job: where it stands, why it waits, its story, its error; payload and result on request.
import {Component, html} from "../view.js";
import {Copy, Empty, Facts, Lines, Notice, Section, Status, Text, Time} from "../parts.js";
import {pretty, size} from "../text.js";
import {apiPath, href} from "../route.js";
import {verbsFor} from "../verbs.js";
import {Load} from "../load.js";
import {Title} from "./title.js";

const EVERY_MS = 3000; // until the job has ended

export class Job extends Component {
  state = {payload: false, version: 0, ended: false};

  render({app, parts}, {payload, version, ended}) {
    const [, database, id] = parts;
    return html`<${Load} app=${app} keep exact version=${version} path=${apiPath(["jobs", database, id], {payload: payload ? "1" : undefined})}
        everyMs=${EVERY_MS} live=${!ended} onLoad=${({status}) => this.setState({ended: status === "completed" || status === "failed"})}>
      ${(job, {reload}) => html`<${View} app=${app} job=${job} database=${database} reload=${reload} payload=${payload} showPayload=${() => this.setState({payload: true})} />`}
    <//>`;
  }
}

function View({app, job, database, reload, payload, showPayload}) {
  const may = app.database(database)?.may ?? {};
  const now = app.now();
  const causes = (job.why?.causes ?? []).filter((cause) => cause !== job.why.sentence);
  return html`
    <${Title} title=${job.type} document=${`${job.type} ${job.id}`} above=${[[href(["jobs"], {database}), "Jobs"]]}
      beside=${html`<${Status} status=${job.status} />`}
      aside=${may.act !== false && verbsFor(job.status).map(([verb, {title, severe, does}]) => html`<button key=${verb} type="button" class=${severe ? "severe" : ""} title=${does}
        onClick=${() => app.act({verb, database, ids: [job.id], onDone: reload})}>${title}</button>`)} />
    <p class="under-title"><code class="mono"><${Text} value=${job.id} /></code> <${Copy} value=${job.id} what="the job's id" /></p>
    ${job.why?.sentence && html`<${Notice} tone=${job.status === "failed" ? "bad" : "plain"} title=${html`<${Text} value=${job.why.sentence} />`}>
      ${causes.length > 0 && html`<ul class="causes">${causes.map((cause) => html`<li><${Text} value=${cause} /></li>`)}</ul>`}<//>`}
    <${Facts} facts=${[
      {label: "Tenant", wide: true, value: html`<a href=${href(["tenants", database, job.tenant])}><${Text} value=${job.tenant_label || job.tenant} /></a>`},
      {label: "Attempts", value: job.attempts},
      {label: "Created", value: html`<${Time} at=${job.created_at} now=${now} />`},
      job.ended_at !== null ? {label: "Ended", value: html`<${Time} at=${job.ended_at} now=${now} />`} : {label: "Due", value: html`<${Time} at=${job.due_at} now=${now} />`},
      ...(job.started_at !== null ? [{label: "Started", value: html`<${Time} at=${job.started_at} now=${now} />`}] : []),
      ...(job.held_by ? [{label: "Held by", value: html`<${Text} value=${job.held_by} />`}] : []),
    ]} />
    <div class="columns">
      <div>
        ${job.error_full && html`<${Section} title="Error" id="error"><${Lines} value=${job.error_full} label="Error" /><//>`}
        <${Section} title="Story" id="story">${job.story?.length ? html`<ol class="story">${job.story.map((one) => html`<li><${Time} at=${one.time} exact /><span><${Text} value=${one.text} /></span></li>`)}</ol>`
          : html`<${Empty} title="Nothing has happened to it yet." />`}<//>
      </div>
      <div>
        <${Section} title="Payload" id="payload"><${Payload} job=${job} may=${may.payloads !== false} asked=${payload} show=${showPayload} /><//>
        <${Section} title="Result" id="result"><${Body} value=${job.result} bytes=${job.result_bytes} label="Result" /><//>
      </div>
    </div>`;
}

const NULL_BYTES = 4; // "null" itself

// The server leaves out what is too large for a page.
function Body({value, bytes, label}) {
  if (value !== null && value !== undefined) return html`<${Lines} value=${pretty(value)} label=${label} />`;
  return bytes > NULL_BYTES ? html`<p class="muted">${size(bytes)}: too large, or nested too deeply, to show.</p>` : html`<p class="muted">None.</p>`;
}

function Payload({job, may, asked, show}) {
  if (asked && !job.payload_hidden) return html`<${Body} value=${job.payload} bytes=${job.payload_bytes} label="Payload" />`;
  if (!may || (asked && job.payload_hidden)) return html`<p class="muted">Hidden. It takes the verb <code>payloads</code> on jobworkerpools in the namespace of its pool: docs/page.md has the role.</p>`;
  return html`<p><button type="button" onClick=${show}>Show the payload</button></p><p class="muted">It may have data of the customer.</p>`;
}
