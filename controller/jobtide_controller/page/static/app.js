// The page as a whole: who is logged in, which screen the address names, and the stream that keeps it current.
import {Component, html} from "./view.js";
import {get, post, useCsrf} from "./api.js";
import {apiPath, parse} from "./route.js";
import {Live} from "./live.js";
import {Shell} from "./shell.js";
import {Shortcuts} from "./shortcuts.js";
import {ActionDialog} from "./action_dialog.js";
import {ErrorNotice} from "./parts.js";
import {Login} from "./screens/login.js";
import {Overview} from "./screens/overview.js";
import {Pool, poolQuery} from "./screens/pool.js";
import {Tenants} from "./screens/tenants.js";
import {Tenant} from "./screens/tenant.js";
import {Jobs} from "./screens/jobs.js";
import {Job} from "./screens/job.js";
import {Actions} from "./screens/actions.js";
import {Missing} from "./screens/missing.js";

// First part of the address, and how many follow it -> screen, and its place in the navigation.
const SCREENS = {
  "/0": [Overview, "overview"],
  "pools/0": [Overview, "overview"],
  "pools/2": [Pool, "overview"],
  "tenants/0": [Tenants, "tenants"],
  "tenants/2": [Tenant, "tenants"],
  "jobs/0": [Jobs, "jobs"],
  "jobs/2": [Job, "jobs"],
  "actions/0": [Actions, "actions"],
};

export class App extends Component {
  state = {
    me: undefined, // undefined: not known yet; null: no session
    startError: null,
    loginError: null,
    route: parse(location.hash),
    overview: null,
    actions: null,
    connection: "connecting",
    receivedAt: null,
    pending: null, // the action that the dialog is open for
    newVersion: false,
  };

  poolListeners = new Set();
  clockOffset = 0; // seconds that the server's clock is ahead of the browser's

  componentDidMount() {
    this.live = new Live((name, document) => this.onEvent(name, document), (connection) => this.onConnection(connection));
    this.shortcuts = new Shortcuts(this);
    addEventListener("hashchange", () => this.onRoute());
    this.start();
  }

  // With a token in the fragment (`jobtide dev` and `kubectl jobtide page` print such an address) it is used once.
  async start() {
    const {token} = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    if (token) {
      history.replaceState(null, "", "#/");
      await this.login(token);
      return;
    }
    await this.loadMe();
  }

  async login(token) {
    try {
      const {csrf} = await post("api/login", {token});
      useCsrf(csrf);
      this.setState({loginError: null});
      await this.loadMe();
    } catch (error) {
      this.setState({loginError: error, me: null});
    }
  }

  async loadMe() {
    try {
      const me = await get("api/me");
      useCsrf(me.csrf);
      this.setState({me, startError: null, route: parse(location.hash)}, () => this.followStream());
      this.loadOverview();
    } catch (error) {
      if (error.status === 401) this.setState({me: null, startError: null});
      else this.setState({startError: error});
    }
  }

  async logout() {
    await post("api/logout").catch(() => null); // a session that is over already is as good
    this.endSession();
  }

  endSession() {
    useCsrf("");
    this.setState({me: null, overview: null, actions: null});
    this.live.follow(null);
  }

  async loadOverview() {
    try {
      this.takeOverview(await get("api/overview"));
    } catch (error) {
      this.failed(error);
      this.setState({overviewError: error});
    }
  }

  // Every screen reports its errors here: an ended session leads to the login.
  failed(error) {
    if (error.status === 401 && this.state.me) this.endSession();
  }

  onRoute() {
    const route = parse(location.hash);
    const moved = route.parts.join("/") !== this.state.route.parts.join("/");
    this.setState({route}, () => {
      if (!moved) return;
      scrollTo(0, 0);
      document.getElementById("screen-title")?.focus({preventScroll: true});
    });
    this.followStream(route);
  }

  followStream(route = this.state.route) {
    if (!this.state.me) return;
    const pool = route.parts[0] === "pools" && route.parts.length === 3;
    const query = pool ? {pool: `${route.parts[1]}/${route.parts[2]}`, ...poolQuery(route.query)} : {};
    this.live.follow(apiPath(["events"], query));
  }

  onConnection(connection) {
    this.setState({connection});
    if (connection === "lost") this.loadOverview();
  }

  onEvent(name, document) {
    this.setState({receivedAt: Date.now() / 1000});
    if (name === "overview") this.takeOverview(document);
    if (name === "actions") this.setState({actions: document});
    if (name === "pool") for (const listener of this.poolListeners) listener(document);
    if (name === "hello") this.onHello(document);
  }

  onHello({leader, leader_name, version}) {
    const {me} = this.state;
    if (!me) return;
    if (leader !== undefined) this.setState({me: {...me, leader, leader_name}});
    if (version && version !== me.version) this.setState({newVersion: true});
  }

  takeOverview(overview) {
    this.clockOffset = overview.now - Date.now() / 1000;
    this.setState({overview, overviewError: null});
  }

  // Seconds since 1970 on the server's clock.
  now() {
    return Date.now() / 1000 + this.clockOffset;
  }

  togglePause() {
    this.live.pause(this.state.connection !== "paused");
  }

  // The names of the databases that this viewer may see; empty until they are known.
  databases() {
    return (this.state.overview?.databases ?? []).map(({name}) => name);
  }

  database(name) {
    return this.state.overview?.databases.find((one) => one.name === name);
  }

  // Opens the dialog: {verb, database, filter | ids, title}; onDone runs after the action has begun.
  act(pending) {
    this.setState({pending});
  }

  render(_, state) {
    if (state.startError) {
      return html`<main class="alone"><h1>Jobtide</h1><${ErrorNotice} error=${state.startError} again=${() => this.loadMe()} /></main>`;
    }
    if (state.me === undefined) return html`<main class="alone"><p class="loading" role="status">Loading</p></main>`;
    if (state.me === null) return html`<${Login} app=${this} error=${state.loginError} />`;
    const {parts, query} = state.route;
    const [Screen, place] = SCREENS[`${parts[0] ?? ""}/${Math.max(0, parts.length - 1)}`] ?? [Missing, ""];
    return html`<${Shell} app=${this} place=${place}>
      <${Screen} key=${parts.join("/")} app=${this} parts=${parts} query=${query} />
      ${state.pending && html`<${ActionDialog} app=${this} action=${state.pending} onClose=${() => this.setState({pending: null})} />`}
    <//>`;
  }
}
