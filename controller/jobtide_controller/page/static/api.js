// Requests to the controller: JSON in, JSON out, errors as sentences.
import {parseExact} from "./text.js";

const AGAIN_MS = 400;
let csrf = "";

// What the server refused: a sentence, and what to do about it where the server knows.
export class ApiError extends Error {
  constructor(status, message, fix = null) {
    super(message);
    this.status = status;
    this.fix = fix;
  }
}

export function useCsrf(token) {
  csrf = token ?? "";
}

export function get(path, {signal, exact = false} = {}) {
  return call("GET", path, undefined, {signal, parse: exact ? parseExact : JSON.parse});
}

export function post(path, body = {}, {signal} = {}) {
  return call("POST", path, body, {signal, parse: JSON.parse});
}

async function call(method, path, body, {signal, parse}) {
  let answer, text;
  try {
    [answer, text] = await sent(method, path, body, signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The controller does not answer.",
      "Check that the port-forward or the ingress still runs; this page tries again by itself.");
  }
  const document = parsed(text, parse);
  if (answer.ok && document !== undefined) return document;
  throw refusal(answer.status, document);
}

// A change of the network ends requests: one that only reads is sent again, once.
async function sent(method, path, body, signal, again = method === "GET") {
  try {
    const answer = await fetch(path, {
      method, signal, credentials: "same-origin", cache: "no-store", redirect: "error",
      headers: method === "GET" ? {} : {"Content-Type": "application/json", "X-Jobtide-CSRF": csrf},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return [answer, await answer.text()];
  } catch (error) {
    if (!again || error.name === "AbortError") throw error;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return sent(method, path, body, signal, false);
  }
}

function parsed(text, parse) {
  if (!text) return null;
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function refusal(status, document) {
  const {message, fix} = document?.error ?? {};
  return new ApiError(status, message ?? `The server answered with status ${status}, and not with a document of this page.`,
    fix ?? (message ? null : "Check what answers at this address: a proxy may be in between."));
}
