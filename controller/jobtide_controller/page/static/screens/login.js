// The login: a token of the cluster's API server, or the address that `jobtide dev` prints.
import {Component, html} from "../view.js";
import {ErrorNotice} from "../parts.js";

export class Login extends Component {
  state = {token: "", busy: false};

  async submit(event) {
    event.preventDefault();
    this.setState({busy: true});
    await this.props.app.login(this.state.token.trim());
    this.setState({busy: false, token: ""});
  }

  componentDidMount() {
    document.title = "Log in · Jobtide";
  }

  render({error}, {token, busy}) {
    return html`<main class="alone">
      <div class="login">
        <h1><img src="icon.svg" alt="" width="28" height="28" /> Jobtide</h1>
        ${error && html`<${ErrorNotice} error=${error} />`}
        <form onSubmit=${(event) => this.submit(event)}>
          <label for="token">Token</label>
          <input id="token" type="password" autocomplete="off" autofocus value=${token} onInput=${(event) => this.setState({token: event.target.value})} />
          <button type="submit" class="primary" disabled=${busy || !token.trim()}>${busy ? "Checking" : "Log in"}</button>
        </form>
        <dl class="login-help">
          <dt>In a cluster</dt><dd><code>kubectl jobtide page -n NAMESPACE</code> forwards the port and opens this page with a ticket for one login. Or paste one: <code>kubectl create token NAME -n NAMESPACE</code>.</dd>
          <dt>On this machine</dt><dd>Open the address that <code>jobtide dev</code> printed.</dd>
        </dl>
        <p class="muted">The cluster decides what you see: seeing a pool and its jobs takes <code>list</code> on jobworkerpools in its namespace, changing jobs takes <code>patch</code>, their payloads <code>payloads</code>.</p>
      </div>
    </main>`;
  }
}
