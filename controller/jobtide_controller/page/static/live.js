// The stream of server-sent events: one for the page, with a pause, closed while the page is hidden.
const EVENTS = ["hello", "overview", "pool", "actions"];
const FIRST_RETRY_MS = 1000, LONGEST_RETRY_MS = 15000;

export class Live {
  // on(name, document) for each event; onState("live" | "connecting" | "paused" | "lost"). A stream doesn't say why it
  // was refused: after "lost", a request does.
  constructor(on, onState) {
    this.on = on;
    this.onState = onState;
    this.path = null;
    this.paused = false;
    this.retryMs = FIRST_RETRY_MS;
    this.failures = 0; // one alone is a change of the network, or of the leader
    document.addEventListener("visibilitychange", () => this.restart());
  }

  // Follows this path from now on; null: no stream at all.
  follow(path) {
    if (path === this.path) return;
    this.path = path;
    this.restart();
  }

  pause(paused) {
    this.paused = paused;
    this.restart();
  }

  restart() {
    this.source?.close();
    clearTimeout(this.timer);
    this.source = null;
    if (this.path === null) return;
    if (this.paused) {
      this.onState("paused");
    } else if (!document.hidden) {
      this.open();
    }
  }

  open() {
    if (this.failures < 2) this.onState("connecting");
    const source = this.source = new EventSource(this.path);
    for (const name of EVENTS) source.addEventListener(name, (event) => this.received(name, event));
    source.addEventListener("error", () => this.failed(source));
  }

  received(name, event) {
    this.retryMs = FIRST_RETRY_MS;
    this.failures = 0;
    this.onState("live");
    this.on(name, JSON.parse(event.data));
  }

  failed(source) {
    if (source !== this.source) return;
    source.close();
    this.failures += 1;
    this.onState(this.failures > 1 ? "lost" : "connecting");
    this.timer = setTimeout(() => this.restart(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LONGEST_RETRY_MS);
  }
}
