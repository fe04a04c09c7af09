// Starts the page. A change of the network (a VPN, another Wi-Fi) ends requests of the browser, those for modules too:
// then the page is loaded again, a few times.
import {applyTheme, remembered} from "./settings.js";

const TRIES = 3, AGAIN_MS = 700, COUNTER = "jobtide.starts";

applyTheme(remembered("theme", "auto"));
try {
  const [{html, render}, {App}] = await Promise.all([import("./view.js"), import("./app.js")]);
  const place = document.getElementById("page");
  place.replaceChildren();
  render(html`<${App} />`, place);
  sessionStorage.removeItem(COUNTER);
} catch (error) {
  const tries = Number(sessionStorage.getItem(COUNTER)) + 1;
  if (!(error instanceof TypeError) || tries > TRIES) throw error;
  sessionStorage.setItem(COUNTER, tries);
  setTimeout(() => location.reload(), AGAIN_MS);
}
