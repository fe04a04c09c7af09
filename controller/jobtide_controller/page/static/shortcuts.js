// Keyboard shortcuts: few, off where a user types, and to be turned off for users of speech control.
import {go} from "./route.js";
import {remember, remembered} from "./settings.js";

export const SHORTCUTS = [
  ["g o", "Overview"], ["g t", "Tenants"], ["g j", "Jobs"], ["g a", "Actions"],
  ["/", "First filter of the screen"], ["p", "Pause or continue live numbers"], ["?", "This list"], ["← →", "Between decisions on a chart, once one has the focus"],
];
const PLACES = {o: [], t: ["tenants"], j: ["jobs"], a: ["actions"]};
const FOLLOWS_MS = 1000;

export class Shortcuts {
  constructor(app) {
    this.app = app;
    this.on = remembered("shortcuts", "on") === "on";
    this.leaderAt = 0;
    addEventListener("keydown", (event) => this.pressed(event));
  }

  use(on) {
    this.on = on;
    remember("shortcuts", on ? "on" : "off");
  }

  pressed(event) {
    if (!this.on || !this.app.state.me || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, dialog")) return;
    if (this.run(event.key)) event.preventDefault();
  }

  run(key) {
    if (key in PLACES && Date.now() - this.leaderAt < FOLLOWS_MS) return this.leave(PLACES[key]);
    this.leaderAt = key === "g" ? Date.now() : 0;
    if (key === "/") return focusFilter();
    if (key === "p") this.app.togglePause();
    if (key === "?") this.app.setState({help: true});
    return key === "p" || key === "?";
  }

  leave(parts) {
    this.leaderAt = 0;
    go(parts);
    return true;
  }
}

function focusFilter() {
  const field = document.querySelector("[data-filter]");
  field?.focus();
  return Boolean(field);
}
