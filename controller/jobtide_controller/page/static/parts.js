// Small parts that all screens share.
import {Component, createRef, html} from "./view.js";
import {UNKNOWN, age, clock, count, isoStamp, parts, printable, printableLines, relative, stamp} from "./text.js";

// A string of a row: what is hidden in it is shown as escapes, and its direction ends with it.
export function Text({value, mono}) {
  if (value === null || value === undefined) return html`<span class="unknown">${UNKNOWN}</span>`;
  if (value === "") return html`<span class="muted">(empty)</span>`;
  return html`<bdi class=${mono ? "text mono" : "text"} dir="ltr">${parts(value).map(([text, hidden]) =>
    hidden ? html`<span class="hidden-chars">${text}</span>` : text)}</bdi>`;
}

// A text of several lines that may have strings of rows in it.
export function Lines({value, label}) {
  return html`<pre class="lines" tabindex="0" role="group" aria-label=${label} dir="ltr">${printableLines(value)}</pre>`;
}

export function Num({value, capped}) {
  return html`<span class=${value === null || value === undefined ? "num unknown" : "num"}>${count(value, capped)}</span>`;
}

export function Age({seconds}) {
  return html`<span class=${seconds === null || seconds === undefined ? "num unknown" : "num"}>${age(seconds)}</span>`;
}

// A moment as "4m10s ago", with date and time on hover; `exact`: the date and time itself.
export function Time({at, now, exact, short}) {
  if (at === null || at === undefined) return html`<span class="num unknown">${UNKNOWN}</span>`;
  const text = short ? clock(at) : exact ? stamp(at) : relative(at, now);
  return html`<time class="num" datetime=${isoStamp(at)} title=${`${stamp(at)} here, ${isoStamp(at)}`}>${text}</time>`;
}

const TONES = {0: "good", 1: "warn", 2: "bad"};
export const toneOf = (trouble) => TONES[trouble] ?? "plain";

const MARKS = {good: "●", warn: "▲", bad: "■", plain: "○", run: "◆"};

// A word with a colour; the mark's form differs too, so colour is never the only sign.
export function Badge({tone = "plain", children, title}) {
  return html`<span class=${`badge ${tone}`} title=${title}><span class="mark" aria-hidden="true">${MARKS[tone]}</span>${children}</span>`;
}

const STATUS_TONES = {pending: "plain", processing: "run", completed: "good", failed: "bad"};

export function Status({status}) {
  return html`<${Badge} tone=${STATUS_TONES[status] ?? "plain"}><${Text} value=${status} /><//>`;
}

// A bar of `value` out of `most`; the numbers stand beside it, so readers of the screen skip it.
export function Meter({value, most, tone = "plain"}) {
  if (value === null || value === undefined || !(most > 0)) return html`<span class="meter empty" aria-hidden="true" />`;
  const width = `${Math.min(100, (value / most) * 100)}%`;
  return html`<span class=${`meter ${tone}`} aria-hidden="true"><span style=${{width}} /></span>`;
}

export function Notice({tone = "warn", title, children, fix, role}) {
  return html`<div class=${`notice ${tone}`} role=${role}>
    <span class="mark" aria-hidden="true">${MARKS[tone]}</span>
    <div><strong>${title}</strong>${fix && html`<div class="notice-fix"><${Text} value=${fix} /></div>`}
    ${children && html`<div class="notice-text">${children}</div>`}</div>
  </div>`;
}

// `again` is offered where a second try may help: not after a refusal of what was asked.
export function ErrorNotice({error, again}) {
  const refused = error.status >= 400 && error.status < 500;
  return html`<${Notice} tone="bad" role="alert" title=${printable(error.message)} fix=${error.fix}>
    ${again && !refused && html`<button type="button" class="quiet" onClick=${again}>Try again</button>`}
  <//>`;
}

// An empty list: what is not there, and what to do next.
export function Empty({title, children}) {
  return html`<div class="empty-state"><strong>${title}</strong>${children && html`<p>${children}</p>`}</div>`;
}

export function Section({title, aside, children, id}) {
  return html`<section class="section" aria-labelledby=${id}>
    <div class="section-head"><h2 id=${id}>${title}</h2>${aside && html`<div class="section-aside">${aside}</div>`}</div>
    ${children}
  </section>`;
}

// Facts beside each other: [{label, value, note, wide}].
export function Facts({facts}) {
  return html`<dl class="facts">${facts.map(({label, value, note, wide}) => html`<div class=${wide ? "wide" : undefined}>
    <dt>${label}</dt><dd>${value}${note && html`<span class="note">${note}</span>`}</dd></div>`)}</dl>`;
}

// A table: columns are {title, cell(row), kind: "num" | "wide" | undefined, hint}. On a phone each row is a card, a
// compact one of four numbers.
export function Table({caption, columns, rows, keyOf, compact}) {
  return html`<div class="table-wrap" role="group" aria-label=${caption} tabindex="0"><table class=${compact ? "table compact" : "table"}><caption class="sr">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.kind} aria-sort=${column.sorted}
      title=${column.hint}>${column.head ?? column.title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map((column) =>
      html`<td class=${column.kind} data-label=${column.title}>${column.cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

// One choice of few, as links, so that the address has it.
export function Segments({label, options, chosen, hrefOf}) {
  return html`<div class="segments" role="group" aria-label=${label}>${options.map(([value, title]) => html`<a
    key=${value} href=${hrefOf(value)} aria-current=${value === chosen ? "true" : undefined}>${title}</a>`)}</div>`;
}

export class Copy extends Component {
  state = {done: false};

  render({value, what}, {done}) {
    return html`<button type="button" class="quiet copy" aria-label=${`Copy ${what}`} onClick=${() => this.copy(value)}>${done ? "copied" : "copy"}</button>`;
  }

  async copy(value) {
    if (await copied(value)) {
      this.setState({done: true});
      setTimeout(() => this.setState({done: false}), 1500);
    }
  }
}

// The clipboard's interface needs HTTPS or this machine; over plain HTTP a selected field does it.
async function copied(value) {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = value;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

// A dialog of the browser's own: it keeps the focus inside, and Escape closes it.
export class Dialog extends Component {
  element = createRef();

  componentDidMount() {
    this.element.current.showModal();
  }

  componentWillUnmount() {
    this.element.current?.close();
  }

  render({title, onClose, children}) {
    return html`<dialog ref=${this.element} aria-labelledby="dialog-title" onClose=${onClose}>
      <div class="dialog-head"><h2 id="dialog-title">${title}</h2>
      <button type="button" class="quiet" aria-label="Close" onClick=${() => this.element.current.close()}>✕</button></div>
      ${children}
    </dialog>`;
  }
}
