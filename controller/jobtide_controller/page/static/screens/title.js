// The head of a screen: where it is, its name, and the document's title. The name takes the focus after a move.
import {Component, html} from "../view.js";
import {printable} from "../text.js";

export class Title extends Component {
  componentDidMount() { this.name(); }
  componentDidUpdate() { this.name(); }

  name() {
    document.title = `${printable(this.props.document ?? this.props.title)} · Jobtide`;
  }

  render({title, above = [], beside, aside}) {
    return html`<div class="screen-head">
      ${above.length > 0 && html`<nav class="crumbs" aria-label="Above this screen">${above.map(([to, text]) => html`<a href=${to}>${text}</a><span aria-hidden="true">/</span>`)}</nav>`}
      <div class="screen-line"><h1 id="screen-title" tabindex="-1"><bdi dir="ltr">${printable(title)}</bdi></h1>${beside}
      ${aside && html`<div class="screen-aside">${aside}</div>`}</div>
    </div>`;
  }
}
