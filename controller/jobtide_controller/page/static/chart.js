// The pool's chart: depth in layers, the oldest job against the promise, and workers, on one time axis, with a marker
// for each decision. Colours come from classes, so that the theme decides.
import {Component, createRef, html} from "./view.js";
import {areaPath, gaps, highest, linePath, roundTop, stacked, timeTicks} from "./series.js";
import {UNKNOWN, age, clock, count, printable} from "./text.js";
import {Text} from "./parts.js";

const LEFT = 54, RIGHT = 10, TOP = 10;
const DEPTH = 170, OLDEST = 64, WORKERS = 110, RAIL = 24, BETWEEN = 18, AXIS = 20;
const MERGE_PX = 9;
const ROUGH_STEPS = 3; // what the first reading takes is no restored past
const LAST_COLOUR = 7; // of the layers; that of the others has its own
const OTHERS = ""; // their key


// series, decisions, promise, chosen (time of a decision), onChoose(decision)
export class Chart extends Component {
  element = createRef();
  state = {width: 0, hover: null};

  componentDidMount() {
    this.observer = new ResizeObserver(([entry]) => this.setState({width: Math.round(entry.contentRect.width)}));
    this.observer.observe(this.element.current);
  }

  componentWillUnmount() {
    this.observer.disconnect();
  }

  // The layer of the others is shown only where it has something.
  render({series: all, ...props}, {width}) {
    const series = {...all, depth: all.depth.filter(({key, values}) => key !== OTHERS || values.some((value) => value > 0))};
    return html`<div class="chart" ref=${this.element}>${width > 0 && this.drawn({series, ...props}, width)}</div>`;
  }

  drawn({series, decisions, promise, chosen, onChoose}, width) {
    const steps = series.desired.length;
    const plot = Math.max(60, width - LEFT - RIGHT);
    const x = (index) => round(LEFT + (steps < 2 ? 0 : index / (steps - 1)) * plot);
    const end = series.start + Math.max(1, steps - 1) * series.step_seconds;
    const xOfTime = (time) => LEFT + ((time - series.start) / (end - series.start)) * plot;
    const tops = {depth: TOP, oldest: TOP + DEPTH + BETWEEN, rail: TOP + DEPTH + OLDEST + 2 * BETWEEN, workers: TOP + DEPTH + OLDEST + RAIL + 2 * BETWEEN};
    const height = tops.workers + WORKERS + AXIS;
    const hover = this.state.hover === null ? null : Math.min(this.state.hover, steps - 1);
    const geometry = {series, x, plot, steps, width};
    return html`
      <${Legend} series=${series} at=${hover ?? lastKnown(series)} hovered=${hover !== null} />
      <div class="plot">
        <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${summary(series)}
          onPointerMove=${(event) => this.point(event, plot, steps)} onPointerLeave=${() => this.setState({hover: null})}>
          <defs><pattern id="unknown-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="2" height="6" /></pattern></defs>
          ${timeTicks(series.start, end, Math.max(2, Math.floor(plot / 90))).map((time) => html`<g key=${time}>
            <line class="grid" x1=${round(xOfTime(time))} x2=${round(xOfTime(time))} y1=${TOP} y2=${tops.workers + WORKERS} />
            <text class="tick" x=${round(xOfTime(time))} y=${height - 5} text-anchor="middle">${clock(time, {seconds: false})}</text></g>`)}
          <${DepthPanel} ...${geometry} top=${tops.depth} />
          <${OldestPanel} ...${geometry} top=${tops.oldest} promise=${promise} />
          <${WorkersPanel} ...${geometry} top=${tops.workers} />
          <${Restored} series=${series} x=${xOfTime} bottom=${tops.workers + WORKERS} width=${width} />
          ${chosen !== null && chosen >= series.start && chosen <= end && html`<line class="chosen" x1=${round(xOfTime(chosen))} x2=${round(xOfTime(chosen))} y1=${TOP} y2=${tops.workers + WORKERS} />`}
          ${hover !== null && html`<line class="cursor" x1=${x(hover)} x2=${x(hover)} y1=${TOP} y2=${tops.workers + WORKERS} />`}
          <text class="panel-name" x=${LEFT + 4} y=${tops.rail + RAIL - 8}>${decisions.some(({time}) => time >= series.start) ? "" : "no decision changed the workers in this time"}</text>
        </svg>
        <${Markers} decisions=${decisions} x=${xOfTime} from=${series.start} to=${end} y=${tops.rail} chosen=${chosen} onChoose=${onChoose} />
      </div>`;
  }

  point(event, plot, steps) {
    const at = (event.clientX - this.element.current.getBoundingClientRect().left - LEFT) / plot;
    const hover = at < -0.02 || at > 1.02 || steps === 0 ? null : Math.round(Math.min(1, Math.max(0, at)) * (steps - 1));
    if (hover !== this.state.hover) this.setState({hover});
  }
}

const round = (number) => Math.round(number * 10) / 10;

function layerClass(one, index) {
  return one.key === OTHERS ? "layer-others" : `layer-${index % (LAST_COLOUR + 1)}`;
}

function DepthPanel({series, x, width, top}) {
  const layers = stacked(series.depth);
  const sums = layers.at(-1)?.map((edge) => edge === null ? null : edge[1]) ?? series.desired.map(() => null);
  const most = roundTop(highest(sums));
  const y = (value) => round(top + DEPTH - (value / most) * DEPTH);
  return html`<g><${Axis} top=${top} height=${DEPTH} most=${most} name="waiting" width=${width} format=${short} />
    <${Unknown} values=${sums} x=${x} top=${top} height=${DEPTH} />
    ${layers.map((edges, index) => html`<path key=${series.depth[index].key} class=${`layer ${layerClass(series.depth[index], index)}`} d=${areaPath(edges, x, y)} />`)}
    <line class="base" x1=${LEFT} x2=${width - RIGHT} y1=${top + DEPTH} y2=${top + DEPTH} /></g>`;
}

function OldestPanel({series, x, width, top, promise, plot}) {
  const most = niceSeconds(Math.max(highest(series.oldest), (promise ?? 0) * 1.15));
  const y = (value) => round(top + OLDEST - (value / most) * OLDEST);
  return html`<g><${Axis} top=${top} height=${OLDEST} most=${most} name="oldest" width=${width} format=${age} middle=${false} />
    <${Unknown} values=${series.oldest} x=${x} top=${top} height=${OLDEST} />
    ${promise !== null && html`<line class="promise" x1=${LEFT} x2=${LEFT + plot} y1=${y(promise)} y2=${y(promise)} />
      <text class="tick" x=${LEFT + plot - 4} y=${y(promise) - 3} text-anchor="end">promise ${age(promise)}</text>`}
    <path class="line oldest" d=${linePath(series.oldest, x, y)} /></g>`;
}

function WorkersPanel({series, x, width, top}) {
  const most = roundTop(highest(series.desired, series.ready, series.busy));
  const y = (value) => round(top + WORKERS - (value / most) * WORKERS);
  const busy = series.busy.map((value) => value === null ? null : [0, value]);
  return html`<g><${Axis} top=${top} height=${WORKERS} most=${most} name="workers" width=${width} format=${short} middle=${most > 1 && most % 2 === 0} />
    <${Unknown} values=${series.ready} x=${x} top=${top} height=${WORKERS} />
    <path class="busy-area" d=${areaPath(busy, x, y)} />
    <path class="line ready" d=${linePath(series.ready, x, y, {steps: true})} />
    <path class="line desired" d=${linePath(series.desired, x, y, {steps: true})} /></g>`;
}

function Axis({top, height, most, name, width, format, middle = true}) {
  const levels = [[0, top + height], ...(middle && most > 1 ? [[most / 2, top + height / 2]] : []), [most, top]];
  return html`<g>${levels.map(([value, y]) => html`<g key=${value}><line class=${value === 0 ? "base" : "grid"} x1=${LEFT} x2=${width - RIGHT} y1=${y} y2=${y} />
    <text class="tick" x=${LEFT - 7} y=${y + 3.5} text-anchor="end">${format(value)}</text></g>`)}
    <text class="panel-name" x=${LEFT + 5} y=${top + 12}>${name}</text></g>`;
}

// Where nothing is known the panel is hatched: a gap is not zero. Before the first value there was no reader yet.
function Unknown({values, x, top, height}) {
  return gaps(values).filter(([first, last]) => last > first && first > 0).map(([first, last]) => html`<rect key=${first} class="gap" fill="url(#unknown-hatch)"
    x=${x(Math.max(0, first - 1))} y=${top} width=${Math.max(1, x(Math.min(values.length - 1, last + 1)) - x(Math.max(0, first - 1)))} height=${height} />`);
}

// What a restarted controller restored from the pools' status is rough.
function Restored({series, x, bottom, width}) {
  const until = series.restored_until, firstKnown = series.desired.findIndex((value) => value !== null);
  if (until === null || firstKnown < 0 || until <= series.start + (firstKnown + ROUGH_STEPS) * series.step_seconds) return null;
  const at = round(Math.min(x(until), width - RIGHT)), before = at > width / 2;
  return html`<g><line class="restored" x1=${at} x2=${at} y1=${TOP} y2=${bottom} />
    <text class="tick" x=${before ? at - 4 : at + 4} y=${TOP + 24} text-anchor=${before ? "end" : "start"}>older: restored roughly</text></g>`;
}

function short(number) {
  if (number < 10000) return count(number);
  return number < 1e6 ? `${number / 1000}k` : `${Math.round(number / 1e5) / 10}M`;
}

function niceSeconds(seconds) {
  return [5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200].find((top) => top >= seconds)
    ?? Math.ceil(seconds / 86400) * 86400;
}

function lastKnown(series) {
  return series.desired.findLastIndex((value) => value !== null);
}

const WORKER_LINES = [["desired", "desired"], ["ready", "ready"], ["busy", "busy"]];

// The legend is the readout too: values at the pointer, or the newest.
function Legend({series, at, hovered}) {
  const value = (values) => at < 0 ? null : values[at] ?? null;
  const time = at < 0 ? UNKNOWN : clock(series.start + at * series.step_seconds);
  return html`<div class="legend"><span class="legend-time num">${hovered ? "" : "now, "}${time}</span>
    ${series.depth.map((one, index) => html`<span class="legend-item" key=${one.key}><span class=${`swatch ${layerClass(one, index)}`} aria-hidden="true" />
      <${Text} value=${one.label} /> <b class="num">${count(value(one.values))}</b></span>`)}
    <span class="legend-item"><span class="swatch oldest" aria-hidden="true" />oldest <b class="num">${age(value(series.oldest))}</b></span>
    ${WORKER_LINES.map(([name, field]) => html`<span class="legend-item" key=${name}><span class=${`swatch ${name}`} aria-hidden="true" />${name} <b class="num">${count(value(series[field]))}</b></span>`)}
  </div>`;
}

function summary(series) {
  const at = lastKnown(series);
  const waiting = at < 0 ? null : series.depth.reduce((sum, {values}) => sum + (values[at] ?? 0), 0);
  return `Chart of waiting jobs, oldest job and workers from ${clock(series.start)}; newest: ${count(waiting)} waiting, `
    + `${count(at < 0 ? null : series.desired[at])} workers desired, ${count(at < 0 ? null : series.ready[at])} ready. The table below has the numbers.`;
}

// One stop of the Tab key for all markers; the arrow keys go from one to the next.
class Markers extends Component {
  render({decisions, x, from, to, y, chosen, onChoose}) {
    const shown = merged(decisions.filter(({time}) => time >= from && time <= to), x);
    const current = Math.max(0, shown.findIndex(({all}) => all.some(({time}) => time === chosen)));
    return html`<div class="markers" role="group" aria-label="Decisions; arrow keys move between them" onKeyDown=${(event) => move(event)}>
      ${shown.map(({newest, all, at}, index) => html`<button key=${newest.time} type="button" style=${{left: `${round(at)}px`, top: `${y + 1}px`}}
        class=${`marker ${newest.to > newest.from ? "up" : newest.to < newest.from ? "down" : "same"}`}
        aria-pressed=${all.some(({time}) => time === chosen)} tabindex=${index === current ? 0 : -1}
        title=${`${clock(newest.time)}  ${newest.from} → ${newest.to}  ${printable(newest.reason)}${all.length > 1 ? ` (and ${all.length - 1} earlier)` : ""}`}
        aria-label=${`${clock(newest.time)}: from ${newest.from} to ${newest.to} workers, ${printable(newest.reason)}`}
        onClick=${() => onChoose(newest)}><span aria-hidden="true">${newest.to > newest.from ? "▲" : newest.to < newest.from ? "▼" : "◆"}</span></button>`)}
    </div>`;
  }
}

// Decisions that would cover each other share a marker, which opens the newest.
function merged(decisions, x) {
  const groups = [];
  for (const decision of [...decisions].sort((a, b) => a.time - b.time)) {
    const at = x(decision.time), last = groups.at(-1);
    if (last && at - last.at < MERGE_PX) Object.assign(last, {newest: decision, all: [...last.all, decision], at});
    else groups.push({newest: decision, all: [decision], at});
  }
  return groups;
}

function move(event) {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step) return;
  const markers = [...event.currentTarget.querySelectorAll("button")];
  const next = markers[markers.indexOf(document.activeElement) + step];
  next?.focus();
  next?.click();
  event.preventDefault();
}
