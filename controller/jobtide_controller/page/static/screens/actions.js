// The log of actions: who did what to which jobs, how far it is, and a stop.
import {Component, html} from "../view.js";
import {Badge, Empty, ErrorNotice, Meter, Section, Table, Text, Time} from "../parts.js";
import {apiPath, href} from "../route.js";
import {count} from "../text.js";
import {post} from "../api.js";
import {VERBS} from "../verbs.js";
import {Load} from "../load.js";
import {Title} from "./title.js";

const TONES = {running: "run", done: "good", stopped: "warn", failed: "bad"};

export class Actions extends Component {
  state = {error: null};

  async stop(id, reload) {
    try {
      await post(apiPath(["actions", id, "stop"]));
      this.setState({error: null});
      reload();
    } catch (error) {
      this.props.app.failed(error);
      this.setState({error});
    }
  }

  render({app}, {error}) {
    return html`<${Title} title="Actions" />
      ${error && html`<${ErrorNotice} error=${error} />`}
      <${Load} app=${app} path=${apiPath(["actions"])} onLoad=${(actions) => app.setState({actions})}>
        ${(loaded, {reload}) => this.log(app, app.state.actions ?? loaded, reload)}
      <//>`;
  }

  // The stream brings each change.
  log(app, actions, reload) {
    return actions.length === 0
      ? html`<${Empty} title="No action yet.">Retry, cancel, run now and purge start on <a href="#/jobs">Jobs</a>. Each leaves a line here and in the controller's log.<//>`
      : html`<${Section} title="Log" id="log"><${Table} caption="Actions" rows=${actions} keyOf=${({id}) => id} columns=${this.columns(app, reload)} /><//>`;
  }

  columns(app, reload) {
    return [
      {title: "Begun", kind: "num", cell: ({begun}) => html`<${Time} at=${begun} exact />`},
      {title: "Who", kind: "name", cell: ({who}) => html`<${Text} value=${who} />`},
      {title: "Action", cell: ({verb}) => html`<span class="strong">${VERBS[verb]?.title ?? html`<${Text} value=${verb} />`}</span>`},
      {title: "Jobs", kind: "wide", cell: ({database, filter}) => html`<${Filter} database=${database} filter=${filter} />`},
      {title: "Done", kind: "num", cell: (action) => html`<${Done} action=${action} />`},
      {title: "State", cell: ({state, message}) => html`<${Badge} tone=${TONES[state] ?? "plain"}><${Text} value=${state} /><//>${message && html`<span class="note"><${Text} value=${message} /></span>`}`},
      {title: "Ended", kind: "num", cell: ({id, state, ended, verb}) => state === "running" ? html`<button type="button" aria-label=${`Stop ${verb}`} onClick=${() => this.stop(id, reload)}>Stop</button>` : html`<${Time} at=${ended} now=${app.now()} />`},
    ];
  }
}

function Done({action: {done, count: number, refused}}) {
  return html`<span class="num">${count(done)}</span><span class="muted">/</span><span class="num">${count(number)}</span>
    ${refused > 0 && html`<span class="note">${count(refused)} refused</span>`}<${Meter} value=${done + (refused ?? 0)} most=${number} tone="run" />`;
}

// The filter as words; with a link where it can be searched for again.
function Filter({database, filter}) {
  const {ids, ...rest} = filter ?? {};
  if (ids !== undefined && ids !== null) {
    const number = Array.isArray(ids) ? ids.length : ids;
    return html`${count(number)} chosen in <${Text} value=${database} />`;
  }
  const words = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  return html`<a href=${href(["jobs"], {database, ...rest})}>${words.map(([name, value]) => html`<span class="term">${name}=<${Text} value=${value} /></span> `)} in <${Text} value=${database} /></a>`;
}
