// Numbers, times and strings of rows as text. Pure: `now` is an argument.
export const UNKNOWN = "–";

// What Python's str.isprintable refuses: control characters, direction marks, separators other than the space.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const EACH_HIDDEN = new RegExp(HIDDEN.source, "gu");
const HIDDEN_RUNS = new RegExp(`((?:${HIDDEN.source})+)`, "u");
const SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"};
const MINUTE = 60, HOUR = 3600, DAY = 86400;

// Rows' text in one line, as the terminal's commands show it: a line break becomes \n, a direction mark \u202e.
export function printable(text) {
  return String(text).replace(EACH_HIDDEN, escaped);
}

// The same of each line, with tabs as spaces.
export function printableLines(text) {
  return String(text).replaceAll("\t", "    ").split("\n").map(printable).join("\n");
}

// The text in parts: [text, hidden?]; hidden parts are escaped already.
export function parts(text) {
  return String(text).split(HIDDEN_RUNS).filter(Boolean)
    .map((part) => HIDDEN.test(part) ? [printable(part), true] : [part, false]);
}

function escaped(character) {
  if (SHORT[character]) return SHORT[character];
  const code = character.codePointAt(0), hex = code.toString(16);
  if (code < 0x100) return "\\x" + hex.padStart(2, "0");
  return code < 0x10000 ? "\\u" + hex.padStart(4, "0") : "\\U" + hex.padStart(8, "0");
}

// A number of JSON that a JavaScript number can't hold, as it was written.
export class Exact {
  constructor(source) { this.source = source; }
}

// Parses JSON; numbers that would change become Exact where the browser gives their source.
export function parseExact(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source !== undefined && changes(value, context.source)
      ? new Exact(context.source) : value);
}

// Whole numbers beyond 2^53 and long fractions change; 1.0 and 1e3 keep their value.
function changes(value, source) {
  const digits = source.replace(/[eE].*/, "").replace(/[-.]/g, "").replace(/^0+/, "");
  return digits.length > 15 && String(value) !== source;
}

// JSON in lines, as equal JSON: every hidden character inside a string is escaped as \uXXXX.
export function pretty(value, indent = "") {
  const deeper = indent + "  ";
  if (value instanceof Exact) return value.source;
  if (Array.isArray(value)) return block("[", value.map((one) => pretty(one, deeper)), "]", indent, deeper);
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).map(([name, one]) => `${quoted(name)}: ${pretty(one, deeper)}`);
    return block("{", members, "}", indent, deeper);
  }
  return typeof value === "string" ? quoted(value) : String(value);
}

function block(open, items, close, indent, deeper) {
  return items.length ? `${open}\n${items.map((item) => deeper + item).join(",\n")}\n${indent}${close}` : open + close;
}

function quoted(text) {
  return JSON.stringify(text).replace(EACH_HIDDEN, (character) =>
    character.split("").map((unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0")).join(""));
}

// `capped`: counting stopped there, so it is a lower bound.
export function count(number, capped = false) {
  return number === null || number === undefined ? UNKNOWN : number.toLocaleString("en-US") + (capped ? "+" : "");
}

export function many(number, one, more = one + "s") {
  return `${count(number)} ${number === 1 ? one : more}`;
}

// 41s; 4m10s; 2h4m; 3d4h: the two largest units, rounded down, as in the terminal. Below 10 s with one decimal.
export function age(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  const whole = Math.max(0, Math.floor(seconds));
  if (seconds > 0 && seconds < 10 && seconds % 1) return `${Math.floor(seconds * 10) / 10}s`;
  if (whole < MINUTE) return `${whole}s`;
  if (whole < HOUR) return twoUnits(whole, MINUTE, 1, "ms");
  return whole < DAY ? twoUnits(whole, HOUR, MINUTE, "hm") : twoUnits(whole, DAY, HOUR, "dh");
}

function twoUnits(seconds, large, small, units) {
  const rest = Math.floor((seconds % large) / small);
  return `${count(Math.floor(seconds / large))}${units[0]}` + (rest ? `${rest}${units[1]}` : "");
}

// "4m10s ago" or "in 20s".
export function relative(time, now) {
  if (time === null || time === undefined) return UNKNOWN;
  const seconds = Math.round(now - time);
  return seconds < 0 ? `in ${age(-seconds)}` : `${age(seconds)} ago`;
}

// 812 bytes; 12 KiB; 1.4 MiB
export function size(bytes) {
  if (bytes < 1024) return many(bytes, "byte");
  return bytes < 1024 * 1024 ? `${count(Math.round(bytes / 1024))} KiB` : `${Math.round(bytes / 1024 / 1024 * 10) / 10} MiB`;
}

export function percent(share) {
  if (share === null || share === undefined) return UNKNOWN;
  return share > 0 && share < 0.01 ? "<1%" : `${Math.round(share * 100)}%`;
}

const two = (number) => String(number).padStart(2, "0");

// 10:02:11, in the browser's time zone.
export function clock(time, {seconds = true} = {}) {
  if (time === null || time === undefined) return UNKNOWN;
  const date = new Date(time * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}` + (seconds ? `:${two(date.getSeconds())}` : "");
}

// 2026-11-29 10:02:11, in the browser's time zone.
export function stamp(time) {
  if (time === null || time === undefined) return UNKNOWN;
  const date = new Date(time * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(time)}`;
}

export function isoStamp(time) {
  return new Date(time * 1000).toISOString();
}
