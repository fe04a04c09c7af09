// Loads a document and shows it: keeps the old one while a newer loads, and says when one can't be loaded.
import {Component, html} from "./view.js";
import {get} from "./api.js";
import {ErrorNotice} from "./parts.js";

// path: of the request. children: (document, {reload, loading}) -> view. everyMs: loads it again as long as the page
// is seen, and `live` is true. A new path starts from nothing unless `keep` is set.
export class Load extends Component {
  state = {document: null, error: null, loading: true};

  componentDidMount() {
    this.load();
    this.timer = setInterval(() => this.tick(), 1000);
  }

  componentDidUpdate(before) {
    if (before.path === this.props.path && before.version === this.props.version) return;
    if (before.path !== this.props.path && !this.props.keep) this.setState({document: null, error: null});
    this.load();
  }

  componentWillUnmount() {
    clearInterval(this.timer);
    this.abort?.abort();
  }

  tick() {
    const {everyMs, live, app} = this.props;
    if (!everyMs || !live || document.hidden || this.state.loading || app.state.connection === "paused") return;
    if (Date.now() - this.loadedAt >= everyMs) this.load();
  }

  async load() {
    this.abort?.abort();
    const abort = this.abort = new AbortController();
    const {path, exact, app, onLoad} = this.props;
    this.setState({loading: true});
    try {
      const document = await get(path, {signal: abort.signal, exact});
      this.loadedAt = Date.now();
      this.setState({document, error: null, loading: false});
      onLoad?.(document);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.loadedAt = Date.now();
      this.setState({error, loading: false});
      app.failed(error);
    }
  }

  render({children}, {document, error, loading}) {
    const reload = () => this.load();
    return html`
      ${error && html`<${ErrorNotice} error=${error} again=${reload} />`}
      ${document !== null && children(document, {reload, loading})}
      ${document === null && !error && html`<p class="loading" role="status">Loading</p>`}`;
  }
}
