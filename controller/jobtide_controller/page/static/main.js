// Starts the page.
import {html, render} from "./view.js";
import {App} from "./app.js";
import {applyTheme, remembered} from "./settings.js";

applyTheme(remembered("theme", "auto"));
render(html`<${App} />`, document.getElementById("page"));
