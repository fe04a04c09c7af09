// An action in three steps: preview with the number, typing that number, progress with a stop.
import {Component, html} from "./view.js";
import {get, post} from "./api.js";
import {Dialog, ErrorNotice, Meter, Status, Text} from "./parts.js";
import {apiPath} from "./route.js";
import {count, many} from "./text.js";
import {VERBS} from "./verbs.js";

const LOOK_MS = 700;

export class ActionDialog extends Component {
  state = {preview: null, error: null, typed: "", id: null, progress: null, busy: false};

  componentDidMount() {
    this.preview();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.closed = true;
  }

  async preview() {
    const {verb, database, filter, ids} = this.props.action;
    await this.attempt(async () => {
      const preview = await post("api/actions/preview", {verb, database, ...(ids ? {ids} : {filter})});
      this.setState({preview, error: null});
    });
  }

  async begin(event) {
    event.preventDefault();
    const {preview} = this.state;
    await this.attempt(async () => {
      const {action} = await post("api/actions", {token: preview.token, confirm: preview.count});
      this.setState({id: action}, () => this.look());
    });
  }

  async look() {
    await this.attempt(async () => {
      const progress = (await get("api/actions")).find(({id}) => id === this.state.id) ?? this.state.progress;
      this.setState({progress, error: null});
      if (progress && progress.state !== "running") this.props.action.onDone?.();
      else if (!this.closed) this.timer = setTimeout(() => this.look(), LOOK_MS);
    });
  }

  async stop() {
    await this.attempt(() => post(apiPath(["actions", this.state.id, "stop"])));
  }

  async attempt(work) {
    this.setState({busy: true});
    try {
      await work();
    } catch (error) {
      this.props.app.failed(error);
      this.setState({error});
    }
    this.setState({busy: false});
  }

  // What was typed means the number, with or without commas.
  confirmed() {
    const {preview, typed} = this.state;
    return preview.count === 1 || typed.replace(/[\s,.']/g, "") === String(preview.count);
  }

  close() {
    if (this.state.id !== null && (!this.state.progress || this.state.progress.state === "running")) this.props.action.onDone?.();
    this.props.onClose();
  }

  render({action}, {preview, error, id, progress}) {
    const {title} = VERBS[action.verb];
    return html`<${Dialog} title=${title} onClose=${() => this.close()}>
      <p class="muted">${VERBS[action.verb].does}</p>
      ${error && html`<${ErrorNotice} error=${error} again=${preview === null ? () => this.preview() : null} />`}
      ${id !== null ? html`<${Progress} progress=${progress} stop=${() => this.stop()} />`
        : preview ? this.question(title)
        : !error && html`<p class="loading" role="status">Counting</p>`}
    <//>`;
  }

  question(title) {
    const {preview, typed, busy} = this.state, {severe} = VERBS[this.props.action.verb];
    const {count: number, at_least: atLeast, examples} = preview;
    if (number === 0) return html`<p><strong>No job fits.</strong> Nothing would be changed.</p>`;
    return html`<form onSubmit=${(event) => this.begin(event)}>
      <p><strong>${atLeast ? "At least " : ""}${many(number, "job")}</strong> in <${Text} value=${this.props.action.database} />${number > examples.length && examples.length ? `; the first ${examples.length}:` : ":"}</p>
      <ul class="examples">${examples.map((job) => html`<li key=${job.id}><${Status} status=${job.status} /> <${Text} value=${job.type} />${" "}
        <span class="muted">of <${Text} value=${job.tenant_label || job.tenant.slice(0, 8)} /></span> <span class="note mono">${job.id}</span></li>`)}</ul>
      ${number > 1 && html`<label class="field"><span>Type ${count(number)} to confirm</span><input inputmode="numeric" autocomplete="off" autofocus value=${typed}
        onInput=${(event) => this.setState({typed: event.target.value})} /></label>`}
      <div class="dialog-buttons"><button type="submit" class=${severe ? "primary severe" : "primary"} disabled=${busy || !this.confirmed()}>${title} ${many(number, "job")}</button></div>
    </form>`;
  }
}

function Progress({progress, stop}) {
  if (!progress) return html`<p class="loading" role="status">Beginning</p>`;
  const {state, done, count: number, refused, message} = progress;
  const words = {running: "Running", done: "Done", stopped: "Stopped", failed: "Failed"}[state] ?? state;
  return html`<div class="progress" role="status" aria-live="polite"><p><strong>${words}</strong>: ${count(done)} of ${many(number, "job")}${refused > 0 ? `, ${count(refused)} refused` : ""}.</p>
      <${Meter} value=${done + (refused ?? 0)} most=${number} tone=${state === "failed" ? "bad" : "run"} />
      ${refused > 0 && html`<p class="muted">Refused jobs changed in between: another worker or user was first.</p>`}
      ${message && html`<p><${Text} value=${message} /></p>`}</div>
    <div class="dialog-buttons">${state === "running" ? html`<button type="button" onClick=${stop}>Stop</button>` : ""}<a href="#/actions">Log of actions</a></div>`;
}
