// The frame of all screens: navigation, the stream's state, theme, user, and warnings that concern every screen.
import {Component, html} from "./view.js";
import {Dialog, ErrorNotice, Notice} from "./parts.js";
import {clock} from "./text.js";
import {applyTheme, remember, remembered} from "./settings.js";
import {SHORTCUTS} from "./shortcuts.js";

const PLACES = [["overview", "#/", "Overview"], ["tenants", "#/tenants", "Tenants"], ["jobs", "#/jobs", "Jobs"], ["actions", "#/actions", "Actions"]];
const NEXT_THEME = {auto: "dark", dark: "light", light: "auto"};
const THEME_MARK = {auto: "◐", dark: "●", light: "○"};

export class Shell extends Component {
  state = {theme: remembered("theme", "auto")};

  nextTheme() {
    const theme = NEXT_THEME[this.state.theme];
    remember("theme", theme);
    applyTheme(theme);
    this.setState({theme});
  }

  render({app, place, children}, {theme}) {
    const {me, newVersion, help} = app.state;
    return html`
      <a class="skip" href="#content" onClick=${skipTo}>Skip to the content</a>
      <header class="top">
        <a class="brand" href="#/" aria-label="Jobtide, overview"><img src="icon.svg" alt="" width="22" height="22" /><span>Jobtide</span></a>
        <nav aria-label="Screens">${PLACES.map(([name, to, title]) => html`<a key=${name} href=${to}
          aria-current=${name === place ? "page" : undefined}>${title}${name === "actions" ? runningMark(app.state.actions) : ""}</a>`)}</nav>
        <div class="top-right">
          <${Stream} app=${app} />
          <button type="button" class="quiet" onClick=${() => this.nextTheme()} aria-label=${`Theme: ${theme}`}
            title=${`Theme: ${theme}`}><span aria-hidden="true">${THEME_MARK[theme]}</span></button>
          <button type="button" class="quiet" onClick=${() => app.setState({help: true})} aria-label="Keyboard shortcuts" title="Keyboard shortcuts">?</button>
          <span class="user" title=${`${me.user}; version ${me.version}`}>${me.mode === "dev" ? "jobtide dev" : me.user}</span>
          ${me.mode !== "dev" && html`<button type="button" class="quiet" onClick=${() => app.logout()}>Log out</button>`}
        </div>
      </header>
      <main id="content" tabindex="-1">
        ${newVersion && html`<${Notice} tone="warn" title="The controller has a newer version than this page.">
          <button type="button" onClick=${() => location.reload()}>Load the page again</button><//>`}
        ${me.leader === false && html`<${Notice} tone="plain" title=${`${me.leader_name || "Another controller"} leads; this one waits. Open the page again to reach it: kubectl jobtide page finds it.`} />`}
        <${Lost} app=${app} />
        ${children}
      </main>
      ${help && html`<${Help} app=${app} />`}`;
  }
}

function Lost({app}) {
  const {connection, receivedAt, overview, overviewError} = app.state;
  if (connection !== "lost") return null;
  if (overviewError?.status) return html`<${ErrorNotice} error=${overviewError} />`;
  const since = receivedAt === null || !overview ? "" : ` What follows is of ${clock(receivedAt)}.`;
  return html`<${Notice} tone="bad" role="alert" title=${`The controller does not answer.${since}`}>
    The page connects again by itself. If it does not, check the port-forward or the ingress.<//>`;
}

function runningMark(actions) {
  const running = (actions ?? []).filter(({state}) => state === "running").length;
  return running ? html` <span class="count-mark" aria-label=${`${running} running`}>${running}</span>` : "";
}

function skipTo(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

const STREAM_WORDS = {live: "Live", connecting: "Connecting", paused: "Paused", lost: "No answer"};

function Stream({app}) {
  const {connection} = app.state, paused = connection === "paused";
  return html`<button type="button" class=${`stream ${connection}`} aria-pressed=${paused} onClick=${() => app.togglePause()}
    title=${paused ? "Continue with live numbers" : "Hold the numbers still"}>
    <span class="dot" aria-hidden="true"></span><span>${STREAM_WORDS[connection]}</span><span class="sr">: ${paused ? "continue" : "pause"}</span></button>`;
}

class Help extends Component {
  render({app}) {
    const on = app.shortcuts.on;
    return html`<${Dialog} title="Keyboard shortcuts" onClose=${() => app.setState({help: false})}>
      <dl class="keys">${SHORTCUTS.map(([keys, purpose]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${purpose}</dd></div>`)}</dl>
      <label class="check"><input type="checkbox" checked=${on} onChange=${(event) => { app.shortcuts.use(event.target.checked); this.forceUpdate(); }} /> Shortcuts of single keys are on</label>
    <//>`;
  }
}
