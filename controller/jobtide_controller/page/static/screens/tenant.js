// One tenant across pools and types.
import {Component, html} from "../view.js";
import {Age, Copy, Empty, Facts, Num, Section, Table, Text} from "../parts.js";
import {count, percent} from "../text.js";
import {apiPath, href} from "../route.js";
import {Load} from "../load.js";
import {FAILED, OfCap} from "./tenants.js";
import {Title} from "./title.js";

const EVERY_MS = 5000;

export class Tenant extends Component {
  render({app, parts}) {
    const [, database, tenant] = parts;
    return html`<${Load} app=${app} path=${apiPath(["tenants", database, tenant])} everyMs=${EVERY_MS} live=${true}>
      ${(document) => html`<${View} document=${document} database=${database} tenant=${tenant} />`}
    <//>`;
  }
}

function View({document, database, tenant}) {
  const row = document.row ?? {tenant};
  const jobs = (query) => href(["jobs"], {database, tenant, ...query});
  return html`
    <${Title} title=${row.label || tenant} above=${[[href(["tenants"], {database}), "Tenants"]]}
      aside=${html`<a href=${jobs({})}>All jobs</a><a href=${jobs({status: "failed"})}>Failed</a><a href=${jobs({status: "processing"})}>Running</a>`} />
    <p class="under-title"><code class="mono"><${Text} value=${tenant} /></code> <${Copy} value=${tenant} what="the tenant's id" /></p>
    <${Facts} facts=${[
      {label: "Waiting", value: html`<${Num} value=${row.waiting} />`, note: row.later > 0 ? `${count(row.later)} more are due later` : undefined},
      {label: "Oldest", value: html`<${Age} seconds=${row.oldest_seconds} />`},
      {label: "Running", value: html`<${OfCap} row=${{cap: null, ...row}} />`, note: row.cap === null || row.cap === undefined ? "no cap" : undefined},
      {label: "Share of slots", value: percent(row.share)},
      {label: FAILED, value: html`<${Num} value=${row.failed_last_hour} capped=${row.failed_capped} />`},
    ]} />
    <${Section} title="Pools and types" id="parts">${document.parts?.length ? html`<${Table} caption="Pools and types" rows=${document.parts}
      keyOf=${(part) => `${part.namespace}/${part.pool}/${part.type}`} columns=${[
        {title: "Pool", kind: "name", cell: ({namespace, pool}) => pool ? html`<a href=${href(["pools", namespace, pool])}><${Text} value=${`${namespace}/${pool}`} /></a>` : html`<span class="late">no pool serves it</span>`},
        {title: "Type", kind: "name", cell: ({type}) => html`<a href=${jobs({type})}><${Text} value=${type} /></a>`},
        {title: "Waiting", kind: "num", cell: ({waiting}) => html`<${Num} value=${waiting} />`},
        {title: "Later", kind: "num", cell: ({later}) => html`<${Num} value=${later} />`},
        {title: "Running", kind: "num", cell: (part) => html`<${OfCap} row=${part} />`},
        {title: "Oldest", kind: "num", cell: ({oldest_seconds}) => html`<${Age} seconds=${oldest_seconds} />`},
      ]} />` : html`<${Empty} title="Nothing of this tenant waits or runs."><a href=${jobs({})}>Search its ended jobs</a><//>`}<//>`;
}
