// One pool: depth above workers on one time axis, decisions with their reasons, the law's numbers, limits, conditions.
import {Component, html} from "../view.js";
import {Age, Badge, Empty, Facts, Lines, Notice, Num, Section, Segments, Table, Text, Time, toneOf} from "../parts.js";
import {age, clock, count, pretty, printable, stamp} from "../text.js";
import {apiPath, href} from "../route.js";
import {appended, hasNewKey} from "../series.js";
import {Chart} from "../chart.js";
import {Load} from "../load.js";
import {AgainstPromise, byWindow} from "./overview.js";
import {OfCap} from "./tenants.js";
import {Title} from "./title.js";

const RANGES = [["15m", "15 min"], ["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"]];
const KEYS = [["type", "by type"], ["tenant", "by tenant"]];
const DOCUMENT_MS = 15000; // tables, facts and the text of `why`; the chart and the head follow each event
const TABLE_ROWS = 60;

// What the stream and the document need to know of the address.
export function poolQuery({range, by}) {
  return {range: RANGES.some(([value]) => value === range) ? range : "15m", by: by === "tenant" ? "tenant" : "type"};
}

export class Pool extends Component {
  state = {series: null, pool: null, decisions: null, loads: 0};

  componentDidMount() {
    this.listener = (event) => this.onEvent(event);
    this.props.app.poolListeners.add(this.listener);
  }

  componentWillUnmount() {
    this.props.app.poolListeners.delete(this.listener);
  }

  onLoad({pool, series, decisions}) {
    this.setState({pool, series, decisions});
  }

  onEvent({pool, point, decisions}) {
    const [, namespace, name] = this.props.parts;
    if (pool && (pool.namespace !== namespace || pool.name !== name)) return;
    if (pool) this.setState({pool});
    if (!this.state.series || !point) return;
    if (hasNewKey(this.state.series, point)) this.setState(({loads}) => ({loads: loads + 1}));
    else this.setState(({series}) => ({series: appended(series, point)}));
    const newest = this.state.decisions?.[0]?.time ?? 0;
    const newer = (decisions ?? []).filter(({time}) => time > newest);
    if (newer.length) this.setState(({decisions: known, loads}) => ({decisions: [...newer, ...(known ?? [])], loads: loads + 1}));
  }

  render({app, parts, query}, {series, pool, decisions, loads}) {
    const [, namespace, name] = parts, {range, by} = poolQuery(query);
    const path = apiPath(["pools", namespace, name], {range, by});
    const to = (change) => href(["pools", namespace, name], {range, by, ...change});
    return html`
      <${Title} title=${`${namespace}/${name}`} above=${[["#/", "Overview"]]}
        beside=${pool && html`<${Badge} tone=${toneOf(pool.trouble)}><${Text} value=${pool.reason} /><//>`}
        aside=${pool && html`<a href=${href(["jobs"], {database: pool.database, type: pool.types.length === 1 ? pool.types[0] : undefined})}>Jobs</a><a href=${href(["tenants"], {database: pool.database})}>Tenants</a>`} />
      <${Load} app=${app} path=${path} version=${loads} keep=${true} everyMs=${DOCUMENT_MS} live=${true} onLoad=${(document) => this.onLoad(document)}>
        ${(document) => html`<${View} app=${app} document=${document} pool=${pool ?? document.pool} series=${series ?? document.series}
          decisions=${decisions ?? document.decisions} range=${range} by=${by} to=${to} chosen=${query.at ? Number(query.at) : null} />`}
      <//>`;
  }
}

function View({app, document, pool, series, decisions, range, by, to, chosen}) {
  const decision = decisions.find(({time}) => Math.abs(time - chosen) < 0.001) ?? null;
  const choose = ({time}) => { location.hash = to({at: time === chosen ? undefined : time}).slice(1); };
  return html`
    ${pool.sentence && html`<p class="sentence"><${Text} value=${pool.sentence} /></p>`}
    ${pool.conditions.filter(({good}) => !good).map((one) => html`<${Notice} key=${one.type} tone=${pool.trouble > 1 ? "bad" : "warn"}
      title=${html`<${Text} value=${one.type} />: <${Text} value=${one.reason} />`}><${Text} value=${one.message} /><//>`)}
    <${Head} pool=${pool} />
    <section class="section chart-section" aria-label="Depth and workers over time">
      <div class="section-head"><${Segments} label="Layers" options=${KEYS} chosen=${by} hrefOf=${(value) => to({by: value})} />
        <${Segments} label="Time" options=${RANGES} chosen=${range} hrefOf=${(value) => to({range: value})} /></div>
      ${series ? html`<${Chart} series=${series} decisions=${decisions} promise=${hasOwn(document) ? null : pool.promise_seconds} chosen=${decision?.time ?? null} onChoose=${choose} />`
        : html`<${Empty} title="The tenants of this pool are not for you to see."><a href=${to({by: "type"})}>Show layers by type</a><//>`}
      ${decision && html`<${Decision} decision=${decision} close=${to({})} />`}
      ${series && html`<${AsTable} series=${series} />`}
    </section>
    <div class="columns">
      <div>
        <${Section} title="Why this many workers" id="why"><${Lines} value=${document.why} label="Why this many workers" /><//>
        <${Section} title="Decisions" id="decisions">${decisions.length === 0 ? html`<${Empty} title="No decision has changed the number of workers yet." />`
          : html`<ol class="decisions">${decisions.map((one) => html`<li key=${one.time}><a href=${to({at: one.time})} aria-current=${one === decision ? "true" : undefined}>
            <${Time} at=${one.time} exact /><span class="num change">${one.from} → ${one.to}</span><${Text} value=${one.reason} /></a></li>`)}</ol>`}<//>
      </div>
      <div>
        <${Section} title="The law's numbers" id="law">${document.facts.length ? html`<${FactRows} facts=${document.facts} />` : html`<${Empty} title="Not computed while the database can't be read." />`}<//>
        <${Section} title="Limits" id="limits">${document.limits.length ? html`<ul class="plain-list">${document.limits.map((limit) => html`<li><${Text} value=${limit} /></li>`)}</ul>`
          : html`<p class="muted">None: nothing changes what the law asks for.</p>`}<//>
        <${Section} title="Conditions" id="conditions"><${Conditions} pool=${pool} now=${app.now()} /><//>
      </div>
    </div>
    <div class="columns">
      <${Section} title="By type" id="types"><${Rows} rows=${document.by_type} first="Type" keyOf=${({type}) => type}
        cell=${({type}) => html`<a href=${href(["jobs"], {database: pool.database, type})}><${Text} value=${type} /></a>`} /><//>
      <${Section} title="By tenant" id="tenants"><${Rows} rows=${document.by_tenant} first="Tenant" keyOf=${({tenant}) => tenant}
        cell=${({tenant, label}) => html`<a href=${href(["tenants", pool.database, tenant])}><${Text} value=${label || tenant} /></a>`} /><//>
    </div>
    <${Section} title="Spec" id="spec"><${Lines} value=${pretty(document.spec)} label="Spec of the pool, without its template" /><//>`;
}

// Whether types have promises of their own: one line in the chart would be wrong for the others.
const hasOwn = (document) => document.by_type.some(({promise_seconds}) => promise_seconds !== null);

function Head({pool}) {
  return html`<${Facts} facts=${[
    {label: "Waiting", value: html`<${Num} value=${pool.waiting} capped=${pool.capped} />`, note: pool.later > 0 ? `${count(pool.later)} more are due later` : undefined},
    {label: "Oldest", value: html`<${AgainstPromise} pool=${pool} />`},
    {label: "Running", value: html`<${Num} value=${pool.running} />`, note: html`on ${count(pool.busy)} busy workers`},
    {label: "Desired", value: html`<${Num} value=${pool.desired} />`, note: html`${count(pool.min)}${byWindow(pool, "min")} to ${count(pool.max)}${byWindow(pool, "max")} allowed`},
    {label: "Ready", value: html`<${Num} value=${pool.ready} />`, note: `of ${count(pool.current)} that exist`},
  ]} />`;
}

function FactRows({facts}) {
  return html`<dl class="fact-rows">${facts.map(({label, value, note}) => html`<div><dt><${Text} value=${label} /></dt>
    <dd><span class="num"><${Text} value=${value} /></span>${note && html`<span class="note"><${Text} value=${note} /></span>`}</dd></div>`)}</dl>`;
}

function Decision({decision, close}) {
  return html`<div class="decision" role="region" aria-label="The chosen decision" aria-live="polite">
    <div class="decision-head"><strong><${Time} at=${decision.time} exact /></strong><span class="num">${decision.from} → ${decision.to} workers</span>
      <${Badge} tone="run"><${Text} value=${decision.reason} /><//><a class="close" href=${close} aria-label="Close this decision">✕</a></div>
    <${Lines} value=${decision.why} label=${`Why at ${clock(decision.time)}`} />
  </div>`;
}

function Conditions({pool, now}) {
  return html`<ul class="conditions">${pool.conditions.map((one) => html`<li key=${one.type}>
    <div><${Badge} tone=${one.good ? "good" : "bad"}><${Text} value=${one.type} /><//> <span class="muted"><${Text} value=${one.status} />, <${Text} value=${one.reason} /></span>
    <span class="note right"><${Time} at=${one.since} now=${now} /></span></div>
    ${one.message && html`<p><${Text} value=${one.message} /></p>`}</li>`)}</ul>`;
}

function Rows({rows, first, cell, keyOf}) {
  if (!rows?.length) return html`<p class="muted">Nothing waits or runs.</p>`;
  return html`<${Table} caption=${`Jobs by ${first.toLowerCase()}`} rows=${rows} compact keyOf=${keyOf} columns=${[
    {title: first, kind: "name", cell},
    {title: "Waiting", kind: "num", cell: ({waiting}) => html`<${Num} value=${waiting} />`},
    {title: "Later", kind: "num", cell: ({later}) => html`<${Num} value=${later} />`},
    {title: "Running", kind: "num", cell: (row) => html`<${OfCap} row=${row} />`},
    {title: "Oldest", kind: "num", cell: ({oldest_seconds, promise_seconds}) => html`<${Age} seconds=${oldest_seconds} />${promise_seconds && html` <span class="note">of ${age(promise_seconds)}</span>`}`},
  ]} />`;
}

// The chart's numbers for readers of the screen, and for copying; made only when it is opened.
class AsTable extends Component {
  state = {open: false};

  render({series}, {open}) {
    return html`<details class="as-table" onToggle=${(event) => this.setState({open: event.currentTarget.open})}><summary>The newest numbers as a table</summary>
      ${open && html`<${Table} caption="The chart's newest numbers" rows=${newest(series)} keyOf=${({time}) => time} columns=${[
        {title: "Time", cell: ({time}) => html`<span class="num">${stamp(time)}</span>`},
        ...series.depth.map((one) => ({title: printable(one.label), kind: "num", cell: ({index}) => html`<${Num} value=${one.values[index]} />`})),
        {title: "Oldest", kind: "num", cell: ({index}) => html`<span class="num">${age(series.oldest[index])}</span>`},
        ...["desired", "ready", "busy"].map((field) => ({title: field, kind: "num", cell: ({index}) => html`<${Num} value=${series[field][index]} />`})),
      ]} />`}</details>`;
  }
}

function newest(series) {
  const indices = series.desired.map((_, index) => index).slice(-TABLE_ROWS).reverse();
  return indices.map((index) => ({index, time: series.start + index * series.step_seconds}));
}
