// An address that names no screen.
import {html} from "../view.js";
import {Empty} from "../parts.js";
import {Title} from "./title.js";

export function Missing() {
  return html`<${Title} title="Not found" /><${Empty} title="This address names no screen."><a href="#/">To the overview</a><//>`;
}
