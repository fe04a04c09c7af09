// Series of the pool's chart as values: appending live points, stacking, ticks, paths. Pure: no view, no clock.

// Adds the newest point, and drops as many old ones; a step without a point is a gap. Returns new series.
export function appended(series, point) {
  const length = series.desired.length;
  const index = Math.floor((point.time - series.start) / series.step_seconds);
  if (length === 0 || index < 0) return series;
  const shift = Math.max(0, index - (length - 1));
  const put = (values, value) => {
    const moved = shift >= length ? Array(length).fill(null) : [...values.slice(shift), ...Array(shift).fill(null)];
    moved[index - shift] = value ?? null;
    return moved;
  };
  return {
    ...series,
    start: series.start + shift * series.step_seconds,
    depth: series.depth.map((one) => ({...one, values: put(one.values, depthOf(point, one.key))})),
    oldest: put(series.oldest, point.oldest),
    desired: put(series.desired, point.desired),
    ready: put(series.ready, point.ready),
    busy: put(series.busy, point.busy),
  };
}

// A key that the point leaves out has no jobs; one that it has as null is unknown.
function depthOf({depth}, key) {
  return depth ? (Object.hasOwn(depth, key) ? depth[key] : 0) : null;
}

// True if the point has a key that the series do not: the document must be loaded again.
export function hasNewKey(series, point) {
  const known = new Set(series.depth.map(({key}) => key));
  return Object.entries(point.depth ?? {}).some(([key, value]) => value > 0 && !known.has(key));
}

// For each key of depth the lower and upper edge of its layer: [[low, high] | null for each step].
export function stacked(depth) {
  const steps = depth[0]?.values.length ?? 0;
  const sums = Array(steps).fill(0);
  const unknown = Array.from({length: steps}, (_, step) => depth.every(({values}) => values[step] === null));
  return depth.map(({values}) => values.map((value, step) => {
    if (unknown[step]) return null;
    const low = sums[step];
    sums[step] += value ?? 0;
    return [low, sums[step]];
  }));
}

export function highest(...lists) {
  return lists.flat().reduce((most, value) => value !== null && value > most ? value : most, 0);
}

// The ends of stretches where every value is known: [[first, last], ...], both inclusive.
export function stretches(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    const last = found.at(-1);
    if (last && last[1] === index - 1) last[1] = index;
    else found.push([index, index]);
  });
  return found;
}

// Stretches without a value, between and beside the others.
export function gaps(values) {
  return stretches(values.map((value) => value === null ? 0 : null));
}

// A path along the values; `steps`: level until the next value, as a number of workers is.
export function linePath(values, x, y, {steps = false} = {}) {
  return stretches(values).map(([first, last]) => {
    let path = `M${x(first)},${y(values[first])}`;
    for (let index = first + 1; index <= last; index++) path += (steps ? `H${x(index)}V${y(values[index])}` : `L${x(index)},${y(values[index])}`);
    return first === last ? path + "h1" : path;
  }).join("");
}

// A closed path between the edges [[low, high] | null, ...].
export function areaPath(edges, x, y) {
  return stretches(edges).map(([first, last]) => {
    let path = "";
    for (let index = first; index <= last; index++) path += `${path ? "L" : "M"}${x(index)},${y(edges[index][1])}`;
    for (let index = last; index >= first; index--) path += `L${x(index)},${y(edges[index][0])}`;
    return path + "Z";
  }).join("");
}

// A round top for an axis, and its middle: 1, 2, 4, 5, 10, 20, ...
export function roundTop(value) {
  if (value <= 1) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((factor) => factor * size).find((top) => top >= value);
}

const TICK_SECONDS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600];

// Times for labels: at most `most`, on round minutes and hours of the browser's time zone.
export function timeTicks(start, end, most, offsetMinutes = new Date(start * 1000).getTimezoneOffset()) {
  const step = TICK_SECONDS.find((seconds) => (end - start) / seconds <= most) ?? 43200;
  const offset = offsetMinutes * 60;
  const ticks = [];
  for (let at = Math.ceil((start - offset) / step) * step + offset; at <= end; at += step) ticks.push(at);
  return ticks;
}
