// Every pool of every database, what is wrong on top.
import {Component, html} from "../view.js";
import {Age, Badge, Empty, ErrorNotice, Facts, Meter, Notice, Num, Section, Table, Text, Time, toneOf} from "../parts.js";
import {age, count, many} from "../text.js";
import {href, replace} from "../route.js";
import {Title} from "./title.js";

const SHOWN_TROUBLES = 12;

export class Overview extends Component {
  render({app, query}) {
    const {overview, overviewError} = app.state;
    if (!overview) return html`<${Title} title="Overview" />${overviewError
      ? html`<${ErrorNotice} error=${overviewError} again=${() => app.loadOverview()} />` : html`<p class="loading" role="status">Loading</p>`}`;
    return html`<${Title} title="Overview" />
      <${Totals} overview=${overview} />
      <${Trouble} overview=${overview} />
      <${Pools} overview=${overview} filter=${query.q ?? ""} />
      <${Databases} overview=${overview} now=${app.now()} />`;
  }
}

// A sum with an unknown part is a lower bound; with nothing but unknown parts it is unknown.
function total(pools, field) {
  const known = pools.map((pool) => pool[field]).filter((value) => value !== null && value !== undefined);
  if (known.length === 0) return {value: count(null), note: pools.length ? "not known" : undefined};
  const unknown = pools.length - known.length;
  const capped = field === "waiting" && pools.some((pool) => pool.capped);
  return {value: count(known.reduce((sum, value) => sum + value, 0), capped), note: unknown ? `without ${many(unknown, "pool")}` : undefined};
}

function Totals({overview}) {
  const {pools} = overview;
  const troubled = pools.filter(({trouble}) => trouble > 0).length;
  const workers = (field) => pools.reduce((sum, pool) => sum + (pool[field] ?? 0), 0);
  return html`<${Facts} facts=${[
    {label: "Pools", value: count(pools.length), note: pools.length === 0 ? undefined : troubled ? `${troubled} with trouble` : "all well"},
    {label: "Waiting", ...total(pools, "waiting")},
    {label: "Running", ...total(pools, "running")},
    {label: "Workers ready", value: count(workers("ready")), note: `of ${count(workers("desired"))} desired`},
    {label: "Busy", ...total(pools, "busy")},
  ]} />`;
}

function Trouble({overview}) {
  const away = new Set(overview.databases.filter(({reachable}) => !reachable).map(({name}) => name));
  const databases = overview.databases.flatMap((database) => [...troubleOfDatabase(database, overview.pools)]);
  const troubled = overview.pools.filter(({trouble, database}) => trouble > 0 && !away.has(database));
  const pools = troubled.slice(0, SHOWN_TROUBLES);
  if (databases.length + pools.length === 0) return null;
  return html`<${Section} title="What is wrong" id="trouble">
    <ul class="troubles">${databases.map((one) => html`<li key=${one.key}><${Notice} tone=${one.tone} title=${one.title}>${one.text}<//></li>`)}
    ${pools.map((pool) => html`<li key=${poolName(pool)}><a class=${`notice ${toneOf(pool.trouble)}`} href=${poolHref(pool)}>
      <span class="mark" aria-hidden="true">${pool.trouble > 1 ? "■" : "▲"}</span>
      <span><strong><${Text} value=${poolName(pool)} /></strong> <${Text} value=${pool.reason} />
      <span class="notice-text"><${Text} value=${worst(pool)} /></span></span></a></li>`)}</ul>
    ${troubled.length > pools.length && html`<p class="muted more">and ${many(troubled.length - pools.length, "more pool")}, first in the list below</p>`}
  <//>`;
}

// The message of the first condition that is not good; the decision's sentence if all are.
function worst(pool) {
  return pool.conditions.find(({good}) => !good)?.message || pool.sentence;
}

function* troubleOfDatabase({name, reachable, reason, message, warnings, unserved}, pools) {
  if (!reachable) {
    yield {key: `${name}/away`, tone: "bad", title: html`Database <${Text} value=${name} /> can't be read${reason ? html`: <${Text} value=${reason} />` : ""}`,
      text: html`<${Text} value=${message ?? "No reading yet."} /> <${Held} pools=${pools.filter(({database}) => database === name)} />`};
  }
  for (const {type, jobs, oldest_seconds} of unserved ?? []) {
    yield {key: `${name}/type/${type}`, tone: "warn", title: html`No pool serves the type <${Text} value=${type} />`,
      text: html`${many(jobs, "job")} wait in <${Text} value=${name} />, the oldest for ${age(oldest_seconds)}. Add the type to spec.types of a pool. <a href=${href(["jobs"], {database: name, type})}>See them</a>`};
  }
  for (const warning of warnings ?? []) {
    yield {key: `${name}/${warning}`, tone: "warn", title: html`Database <${Text} value=${name} />`, text: html`<${Text} value=${warning} />`};
  }
}

// The pools that an unreadable database holds as they are.
function Held({pools}) {
  return html`<span class="held">Unknown does not count as zero: the workers of ${pools.slice(0, SHOWN_TROUBLES).map((pool, index) =>
    html`${index ? ", " : ""}<a key=${poolName(pool)} href=${poolHref(pool)}><${Text} value=${poolName(pool)} /></a>`)}${pools.length > SHOWN_TROUBLES ? ` and ${count(pools.length - SHOWN_TROUBLES)} more` : ""} stay as they are.</span>`;
}

const poolName = ({namespace, name}) => `${namespace}/${name}`;
const poolHref = ({namespace, name}) => href(["pools", namespace, name]);

function Pools({overview, filter}) {
  if (overview.pools.length === 0) {
    return html`<${Empty} title="No pool is here that you may see.">Create one with <code>kubectl apply</code> (docs/quickstart.md has the smallest), or ask for <code>list</code> on jobworkerpools in its namespace.<//>`;
  }
  const wanted = filter.toLowerCase();
  const pools = overview.pools.filter((pool) => [poolName(pool), pool.database, pool.reason, ...pool.types].some((text) => text.toLowerCase().includes(wanted)));
  const field = html`<input type="search" data-filter aria-label="Filter pools by name, type, database or reason" placeholder="Filter by name, type, reason" value=${filter}
    onInput=${(event) => replace([], {q: event.target.value})} />`;
  return html`<${Section} title="Pools" id="pools" aside=${overview.pools.length > 5 || filter ? field : null}>
    ${pools.length === 0 ? html`<${Empty} title="No pool matches this filter."><a href="#/">Show all ${count(overview.pools.length)}</a><//>`
      : html`<${Table} caption="Pools" columns=${COLUMNS} rows=${pools} keyOf=${poolName} />`}
  <//>`;
}

const COLUMNS = [
  {title: "Pool", kind: "name", cell: (pool) => html`<a class="strong" href=${poolHref(pool)}><${Text} value=${poolName(pool)} /></a><span class="note"><${Text} value=${pool.database} /></span>`},
  {title: "State", kind: "state", cell: (pool) => html`<${Badge} tone=${toneOf(pool.trouble)} title=${pool.sentence}><${Text} value=${pool.reason} /><//>`},
  {title: "Waiting", kind: "num", cell: (pool) => html`<${Num} value=${pool.waiting} capped=${pool.capped} />${pool.later > 0 && html`<span class="note">+${count(pool.later)} later</span>`}`},
  {title: "Oldest", kind: "num", hint: "Age of the job that is nearest to breaking its promise, against the promise; in parentheses the window that sets it", cell: (pool) => html`<${AgainstPromise} pool=${pool} />`},
  {title: "Running", kind: "num", cell: (pool) => html`<${Num} value=${pool.running} />`},
  {title: "Workers", kind: "num", hint: "Ready of desired, and the most that the pool may have now; in parentheses the window that sets it", cell: (pool) => html`<${Workers} pool=${pool} />`},
  {title: "Busy", kind: "num", cell: (pool) => html`<${Num} value=${pool.busy} />`},
  {title: "Why", kind: "wide", cell: (pool) => html`<span class="clip" title=${pool.sentence}><${Text} value=${pool.sentence} /></span>`},
];

// The window by the clock that sets this limit now; nothing where the pool's own holds.
export const byWindow = ({windows}, limit) => windows[limit] ? html` (<${Text} value=${windows[limit]} />)` : "";

export function AgainstPromise({pool}) {
  if (pool.promise_seconds === null) return html`<${Age} seconds=${pool.oldest_seconds} />`;
  const seconds = pool.nearest_seconds, late = seconds > pool.promise_seconds;
  return html`<span class=${late ? "late" : ""}><${Age} seconds=${seconds} /></span>
    <span class="note">of ${age(pool.promise_seconds)}${byWindow(pool, "promise")}</span>
    <${Meter} value=${seconds} most=${pool.promise_seconds} tone=${late ? "bad" : seconds > 0.8 * pool.promise_seconds ? "warn" : "good"} />`;
}

function Workers({pool}) {
  return html`<${Num} value=${pool.ready} /><span class="muted">/</span><${Num} value=${pool.desired} />
    <span class="note">max ${count(pool.max)}${byWindow(pool, "max")}</span>
    <${Meter} value=${pool.ready} most=${pool.max} tone="run" />`;
}

const JOB_VIEWS = {
  "available": "available",
  "no operator URL": "none: add an operator URL to see jobs (docs/page.md)",
  "not allowed": "not for you: it takes a right on a pool of this database",
};

function Databases({overview, now}) {
  const columns = [
    {title: "Database", kind: "name", cell: ({name}) => html`<span class="strong"><${Text} value=${name} /></span>`},
    {title: "State", cell: ({reachable, reason, message}) => html`<${Badge} tone=${reachable ? "good" : "bad"} title=${message}>${reachable ? "Readable" : html`<${Text} value=${reason ?? "Not read yet"} />`}<//>`},
    {title: "Read", kind: "num", cell: ({read_at}) => html`<${Time} at=${read_at} now=${now} />`},
    {title: "Took", kind: "num", cell: ({read_seconds}) => html`<span class="num">${read_seconds === null ? "–" : `${count(Math.round(read_seconds * 1000))} ms`}</span>`},
    {title: "Jobs", kind: "wide", cell: ({name, jobs}) => jobs === "available" ? html`<a href=${href(["jobs"], {database: name})}>Search jobs</a> · <a href=${href(["tenants"], {database: name})}>Tenants</a>`
      : html`<span class="muted">${JOB_VIEWS[jobs] ?? jobs}</span> · <a href=${href(["tenants"], {database: name})}>Tenants</a>`},
  ];
  if (overview.databases.length === 0) return null;
  return html`<${Section} title="Databases" id="databases"><${Table} caption="Databases" columns=${columns} rows=${overview.databases} keyOf=${({name}) => name} /><//>`;
}
