// The tenants of a database: who waits, who is at its cap, who fails.
import {Component, html} from "../view.js";
import {Age, Empty, Meter, Num, Section, Table, Text} from "../parts.js";
import {count, many, percent} from "../text.js";
import {apiPath, href, replace} from "../route.js";
import {Load} from "../load.js";
import {DatabaseChoice, NoDatabase, chosenDatabase} from "./database_choice.js";
import {Title} from "./title.js";

const EVERY_MS = 5000;
const FIRST_ROWS = 200;
export const FAILED = "Failed, created in 1 h";

const SORTS = {
  tenant: (row) => row.label || row.tenant, waiting: (row) => row.waiting, oldest: (row) => row.oldest_seconds, running: (row) => row.running,
  share: (row) => row.share, failed: (row) => row.failed_last_hour,
};

export class Tenants extends Component {
  state = {all: false};

  render({app, query}, {all}) {
    const database = chosenDatabase(app, query);
    const change = (changes) => replace(["tenants"], {...query, ...changes});
    return html`<${Title} title="Tenants" />
      <div class="filters" role="search"><${DatabaseChoice} app=${app} chosen=${database} onChoose=${(value) => change({database: value})} />
        <label class="field grow"><span>Name or id</span><input type="search" data-filter value=${query.q ?? ""} onInput=${(event) => change({q: event.target.value})} /></label></div>
      ${!database ? html`<${NoDatabase} app=${app} />` : html`<${Load} app=${app} path=${apiPath(["tenants"], {database})} everyMs=${EVERY_MS} live=${true}>
        ${(document) => html`<${View} document=${document} query=${query} all=${all} showAll=${() => this.setState({all: true})} />`}
      <//>`}`;
  }
}

function View({document, query, all, showAll}) {
  const wanted = (query.q ?? "").toLowerCase();
  const matching = document.rows.filter(({tenant, label}) => tenant.includes(wanted) || (label ?? "").toLowerCase().includes(wanted));
  const sorted = ordered(matching, query.sort ?? "waiting");
  const shown = all ? sorted : sorted.slice(0, FIRST_ROWS);
  if (document.rows.length === 0) return html`<${Empty} title="No tenant has jobs that wait or run.">Tenants appear with their first job: docs/producers.md shows how to insert one.<//>`;
  return html`<${Section} title=${matching.length === document.rows.length ? many(document.total, "tenant") : `${count(matching.length)} of ${many(document.total, "tenant")}`} id="rows"
      aside=${document.shown < document.total && html`<span class="muted">The ${count(document.shown)} with the most jobs are known by name here; search the others on <a href=${href(["jobs"], {database: document.database})}>Jobs</a>.</span>`}>
    ${shown.length === 0 ? html`<${Empty} title="No tenant matches this filter." />`
      : html`<${Table} caption="Tenants" columns=${columns(document.database, query)} rows=${shown} keyOf=${({tenant}) => tenant} />`}
    ${shown.length < sorted.length && html`<p><button type="button" onClick=${showAll}>Show all ${count(sorted.length)}</button></p>`}
  <//>`;
}

function ordered(rows, sort) {
  const name = sort.replace(/^-/, ""), value = Object.hasOwn(SORTS, name) ? SORTS[name] : SORTS.waiting;
  const up = sort.startsWith("-") || name === "tenant";
  const known = (row) => value(row) ?? -1;
  return [...rows].sort((a, b) => {
    const first = known(a), second = known(b);
    return (first < second ? -1 : first > second ? 1 : 0) * (up ? 1 : -1);
  });
}

function columns(database, query) {
  const sort = query.sort ?? "waiting";
  const head = (name, title) => ({
    title,
    sorted: sort === name ? "descending" : sort === `-${name}` ? "ascending" : undefined,
    head: html`<a href=${href(["tenants"], {...query, sort: sort === name ? `-${name}` : name})}>${title}<span class="sort" aria-hidden="true">${sort === name ? " ↓" : sort === `-${name}` ? " ↑" : ""}</span></a>`,
  });
  return [
    {...head("tenant", "Tenant"), kind: "name", cell: ({tenant, label}) => html`<a class="strong" href=${href(["tenants", database, tenant])}><${Text} value=${label || tenant} /></a>${label && html`<span class="note mono">${tenant}</span>`}`},
    {...head("waiting", "Waiting"), kind: "num", cell: ({waiting, later}) => html`<${Num} value=${waiting} />${later > 0 && html`<span class="note">+${count(later)} later</span>`}`},
    {...head("oldest", "Oldest"), kind: "num", cell: ({oldest_seconds}) => html`<${Age} seconds=${oldest_seconds} />`},
    {...head("running", "Running"), kind: "num", cell: (row) => html`<${OfCap} row=${row} />`},
    {...head("share", "Share of slots"), kind: "num", cell: ({share}) => html`<span class="num">${percent(share)}</span><${Meter} value=${share} most=${1} tone="run" />`},
    {...head("failed", FAILED), kind: "num", cell: ({failed_last_hour, failed_capped, tenant}) => failed_last_hour > 0
      ? html`<a class="late num" href=${href(["jobs"], {database, tenant, status: "failed", since: "1h"})}>${count(failed_last_hour, failed_capped)}</a>` : html`<${Num} value=${failed_last_hour} capped=${failed_capped} />`},
  ];
}

// Running jobs of the most that may run, and the limit's words, which `why` and `top` have too.
export function OfCap({row}) {
  const {running, cap, limit} = row, isCapped = cap !== null && cap !== undefined;
  return html`<${Num} value=${running} />${isCapped && html`<span class="muted">/</span><span class="num">${count(cap)}</span>
    <${Meter} value=${running} most=${cap} tone=${running >= cap ? "warn" : "run"} />`}${limit && html`<span class="note limit"><${Text} value=${limit} /></span>`}`;
}
