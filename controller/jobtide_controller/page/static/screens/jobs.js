// Search for jobs. All filters are in the address; the server refuses those that no index serves, and says which to add.
import {Component, html} from "../view.js";
import {Empty, Notice, Section, Status, Table, Text, Time} from "../parts.js";
import {apiPath, go, href} from "../route.js";
import {many} from "../text.js";
import {VERBS} from "../verbs.js";
import {Load} from "../load.js";
import {DatabaseChoice, NoDatabase, chosenDatabase} from "./database_choice.js";
import {Title} from "./title.js";

const FIELDS = ["type", "tenant", "status", "error", "since", "until", "id"];
const NONE = Object.fromEntries(FIELDS.map((name) => [name, ""]));
const STATUSES = ["pending", "processing", "completed", "failed"];
const NARROW = ["type", "tenant", "since", "id"]; // the server changes all that match only if one of these is given
const PAGE_ROWS = 50;

// The filters of an address, without empty ones.
export function filterOf(query) {
  return Object.fromEntries(FIELDS.filter((name) => query[name]).map((name) => [name, query[name]]));
}

export class Jobs extends Component {
  state = {version: 0};

  render({app, query}, {version}) {
    const database = chosenDatabase(app, query), filter = filterOf(query);
    const shown = app.database(database);
    return html`<${Title} title="Jobs" />
      <${Filters} app=${app} database=${database} filter=${filter} types=${typesOf(app, database)} />
      ${shown && shown.jobs !== "available" ? html`<${NoJobs} database=${shown} />`
        : !database ? html`<${NoDatabase} app=${app} />` : html`<${Load} app=${app} version=${version} path=${apiPath(["jobs"], {database, ...filter, limit: PAGE_ROWS, after: query.after})}>
          ${(document, {reload, loading}) => html`<${Found} key=${JSON.stringify([database, filter, query.after])} app=${app} database=${database} filter=${filter} document=${document} query=${query}
            reload=${reload} loading=${loading} />`}
        <//>`}`;
  }
}

function typesOf(app, database) {
  const pools = app.state.overview?.pools.filter((pool) => pool.database === database) ?? [];
  return [...new Set(pools.flatMap(({types}) => types))].sort();
}

function NoJobs({database}) {
  return database.jobs === "not allowed"
    ? html`<${Empty} title="These jobs are not for you to see.">It takes <code>list</code> on jobworkerpools in a namespace that has a pool of this database.<//>`
    : html`<${Empty} title="The controller has no operator URL for this database.">Jobs are read and changed as the role <code>jobtide_operator</code> only. Name a Secret with its URL as <code>databases.NAME.operatorSecretName</code> in the chart: docs/page.md has the steps. Until then, <code>jobtide jobs list</code> finds jobs in a terminal.<//>`;
}

class Filters extends Component {
  state = {...NONE, ...this.props.filter};

  componentDidUpdate({filter: before}) {
    const {filter} = this.props;
    if (JSON.stringify(before) !== JSON.stringify(filter)) this.setState({...NONE, ...filter});
  }

  render({app, database, types}, state) {
    const field = (name) => ({value: state[name] ?? "", onInput: (event) => this.setState({[name]: event.target.value})});
    return html`<form class="filters" role="search" onSubmit=${(event) => this.submit(event)}>
      <${DatabaseChoice} app=${app} chosen=${database} onChoose=${(value) => go(["jobs"], {...filterOf(state), database: value})} />
      <label class="field"><span>Type</span><input data-filter list="known-types" autocomplete="off" spellcheck="false" ...${field("type")} /></label>
      <datalist id="known-types">${types.map((type) => html`<option value=${type} />`)}</datalist>
      <label class="field"><span>Status</span><select ...${field("status")} onChange=${(event) => this.setState({status: event.target.value}, () => this.submit())}>
        <option value="">any</option>${STATUSES.map((status) => html`<option value=${status} selected=${state.status === status}>${status}</option>`)}</select></label>
      <label class="field"><span>Tenant</span><input class="wide" placeholder="id" autocomplete="off" spellcheck="false" ...${field("tenant")} /></label>
      <label class="field"><span>Error has</span><input autocomplete="off" ...${field("error")} /></label>
      <label class="field"><span>Since</span><input class="short" placeholder="2h" autocomplete="off" ...${field("since")} /></label>
      <label class="field"><span>Until</span><input class="short" placeholder="10m" autocomplete="off" ...${field("until")} /></label>
      <label class="field"><span>Job</span><input class="wide" placeholder="id" autocomplete="off" spellcheck="false" ...${field("id")} /></label>
      <div class="field-buttons"><button type="submit" class="primary">Search</button>${Object.keys(this.props.filter).length > 0 && html`<a href=${href(["jobs"], {database})}>Clear</a>`}</div>
    </form>`;
  }

  submit(event) {
    event?.preventDefault();
    const given = Object.fromEntries(Object.entries(filterOf(this.state)).map(([name, value]) => [name, value.trim()]));
    go(["jobs"], {database: this.props.database, ...given});
  }
}

class Found extends Component {
  state = {chosen: new Set()};

  choose(id, on) {
    const chosen = new Set(this.state.chosen);
    if (on) chosen.add(id);
    else chosen.delete(id);
    this.setState({chosen});
  }

  render({app, database, filter, document, query, reload, loading}, {chosen}) {
    const {jobs, next, note} = document;
    const mayAct = app.database(database)?.may?.act !== false;
    return html`<${Section} title=${html`<span role="status">${loading ? "Searching" : many(jobs.length, "job") + (next ? " on this page" : "")}</span>`} id="found"
        aside=${html`<button type="button" class="quiet" onClick=${reload}>Refresh</button>`}>
      ${note && html`<${Notice} tone="plain" title=${html`<${Text} value=${note} />`} />`}
      ${jobs.length === 0 ? html`<${Empty} title="No job matches.">${Object.keys(filter).length ? html`Leave out a filter, or look further back with <em>since</em>.` : "Jobs appear here with their first INSERT: docs/producers.md."}<//>`
        : html`${mayAct && html`<${Toolbar} app=${app} database=${database} filter=${filter} jobs=${jobs} chosen=${chosen} done=${() => { this.setState({chosen: new Set()}); reload(); }} />`}
        <${Table} caption="Jobs" rows=${jobs} keyOf=${({id}) => id} columns=${this.columns(database, jobs, chosen, mayAct)} />`}
      <div class="paging">${query.after && html`<a href=${href(["jobs"], {...query, after: undefined})}>First page</a>`}
        ${next && html`<a class="button" rel="next" href=${href(["jobs"], {...query, database, after: next})}>Next page</a>`}</div>
    <//>`;
  }

  columns(database, jobs, chosen, mayAct) {
    const all = jobs.length > 0 && jobs.every(({id}) => chosen.has(id));
    const box = {title: "Chosen", kind: "box",
      head: html`<input type="checkbox" aria-label="Choose all on this page" checked=${all} onChange=${(event) => this.setState({chosen: new Set(event.target.checked ? jobs.map(({id}) => id) : [])})} />`,
      cell: ({id}) => html`<input type="checkbox" aria-label=${`Choose job ${id}`} checked=${chosen.has(id)} onChange=${(event) => this.choose(id, event.target.checked)} />`};
    return [...(mayAct ? [box] : []), ...jobColumns(database, this.props.app.now())];
  }
}

function jobColumns(database, now) {
  return [
    {title: "Status", cell: ({status}) => html`<${Status} status=${status} />`},
    {title: "Job", kind: "name", cell: ({id, type}) => html`<a class="strong" href=${href(["jobs", database, id])}><${Text} value=${type} /></a><span class="note mono">${id}</span>`},
    {title: "Tenant", kind: "name", cell: ({tenant, tenant_label}) => html`<a href=${href(["tenants", database, tenant])}><${Text} value=${tenant_label || tenant.slice(0, 8)} /></a>`},
    {title: "Attempts", kind: "num", cell: ({attempts}) => html`<span class="num">${attempts}</span>`},
    {title: "Created", kind: "num", cell: ({created_at}) => html`<${Time} at=${created_at} now=${now} />`},
    {title: "Then", kind: "num", hint: "Due, started or ended", cell: (job) => html`<${Then} job=${job} now=${now} />`},
    {title: "Error", kind: "wide", cell: ({error, held_by, status}) => error ? html`<span class="clip late"><${Text} value=${error} /></span>`
      : held_by && status === "processing" ? html`<span class="clip muted">on <${Text} value=${held_by} /></span>` : ""},
  ];
}

function Then({job, now}) {
  const [word, at] = job.ended_at !== null ? ["ended", job.ended_at] : job.started_at !== null && job.status === "processing" ? ["started", job.started_at] : ["due", job.due_at];
  return html`<span class="muted">${word}</span> <${Time} at=${at} now=${now} />`;
}

// Acts on the chosen jobs, or on all that the filter matches.
function Toolbar({app, database, filter, jobs, chosen, done}) {
  const one = chosen.size > 0;
  const statuses = new Set(jobs.filter(({id}) => chosen.has(id)).map(({status}) => status));
  const fits = ({of}) => one ? of.some((status) => statuses.has(status)) : !filter.status || of.includes(filter.status);
  const narrow = NARROW.some((name) => filter[name]);
  const start = (verb) => app.act({verb, database, ...(one ? {ids: [...chosen]} : {filter}), onDone: done});
  return html`<div class="toolbar" role="group" aria-label="Actions">
    <span class="muted">${one ? `${many(chosen.size, "chosen job")}:` : narrow ? "All that match:" : "Choose jobs, or filter by type, tenant, since or id, to act on them"}</span>
    ${!one && narrow && fits(VERBS.purge) && !filter.until && html`<span class="muted order-last">Purge goes by age: set until, as in 30d.</span>`}
    ${(one || narrow) && Object.entries(VERBS).filter(([, verb]) => fits(verb) && (one || !verb.needs || filter[verb.needs])).map(([name, {title, severe, does}]) =>
      html`<button key=${name} type="button" class=${severe ? "severe" : ""} title=${does} onClick=${() => start(name)}>${title}</button>`)}
  </div>`;
}
