// Addresses of screens: a path and filters behind the #, so that every view can be sent to a colleague as a link.

// "#/pools/media/thumbs?by=type" -> {parts: ["pools", "media", "thumbs"], query: {by: "type"}}
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {parts: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query))};
}

export function href(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given).toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

export function go(parts, query) {
  location.hash = href(parts, query);
}

// Changes the address without a new entry in the history: for a filter that is being typed.
export function replace(parts, query) {
  history.replaceState(null, "", href(parts, query));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

// The path of a request to the server, relative to the page: it works under any prefix.
export function apiPath(parts, query = {}) {
  return "api/" + href(parts, query).slice(2);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
