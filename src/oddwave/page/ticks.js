// Round marks for the axes: the horizontal one counts rows, its labels are the rows' times.

const SECONDS = [0.001, 0.01, 0.1, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200];
const DAYS = [1, 2, 7, 14, 28, 91, 182, 365, 1826].map((days) => days * 86_400);

/** Where a value would stand in a sorted list, with a fraction between two entries. */
export function placeIn(sorted, value) {
  let low = 0;
  let high = sorted.length - 1;
  if (!(value > sorted[0])) return 0;
  if (value >= sorted[high]) return high;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return low + (value - sorted[low]) / (sorted[high] - sorted[low] || 1);
}

/** The value at a place with a fraction: `placeIn` the other way round. */
export function valueAt(sorted, place) {
  const low = Math.min(Math.max(Math.floor(place), 0), sorted.length - 1);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (place - low);
}

function roundStep(least, isDated) {
  if (isDated) return [...SECONDS, ...DAYS].find((size) => size >= least) ?? DAYS.at(-1) * Math.ceil(least / DAYS.at(-1));
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((part) => part * power).find((size) => size >= least * 0.9999);
}

/** Round times between two, at most `most`. */
export function roundTimes(from, to, most, isDated) {
  if (!(to > from)) return [from];
  const step = roundStep((to - from) / most, isDated);
  const ticks = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) ticks.push(i * step);
  return ticks;
}

/** Labels of round dates: the time of day, and the date below it where that changes. */
export function dateLabels(times) {
  const step = times.length > 1 ? times[1] - times[0] : 86_400;
  let before = "";
  return times.map((time) => {
    const [date, clock] = new Date(time * 1000).toISOString().split("T");
    if (step >= 86_400) return date;
    const text = clock.slice(0, step >= 60 ? 5 : step >= 1 ? 8 : 12);
    const label = date === before ? text : `${text}\n${date}`;
    before = date;
    return label;
  });
}
