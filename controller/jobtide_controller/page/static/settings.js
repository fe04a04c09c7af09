// What this browser remembers: the theme, and whether shortcuts are on. A browser without storage forgets them.
const PREFIX = "jobtide.";

export function remembered(name, otherwise) {
  try {
    return localStorage.getItem(PREFIX + name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // A private window may refuse: the choice holds until the page is closed.
  }
}

// "auto" follows the system.
export function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
