// Which database a screen is of; nothing to choose where there is one.
import {html} from "../view.js";
import {printable} from "../text.js";
import {Empty, ErrorNotice} from "../parts.js";

// The database in the address, or the first of those that the viewer may see; undefined while none is known.
export function chosenDatabase(app, query) {
  return query.database || app.databases()[0];
}

export function DatabaseChoice({app, chosen, onChoose}) {
  const names = app.databases();
  if (names.length < 2 && names.includes(chosen)) return null;
  return html`<label class="field"><span>Database</span><select value=${chosen} onChange=${(event) => onChoose(event.target.value)}>
    ${[...new Set([...names, chosen].filter(Boolean))].map((name) => html`<option key=${name} value=${name} selected=${name === chosen}>${printable(name)}</option>`)}</select></label>`;
}

// In place of a screen that needs a database.
export function NoDatabase({app}) {
  const {overview, overviewError} = app.state;
  if (overviewError) return html`<${ErrorNotice} error=${overviewError} again=${() => app.loadOverview()} />`;
  if (!overview) return html`<p class="loading" role="status">Loading</p>`;
  return html`<${Empty} title="No database is here that you may see.">A database appears with its first pool.<//>`;
}
