// What the page holds (numbers packed by Python) and how times and numbers are written.

const page = JSON.parse(document.getElementById("data").textContent);

/** Numbers from base64 of little-endian floats, or from one step for all but the last. */
function unpack(packed) {
  if ("step" in packed) {
    const { first, step, count, last } = packed;
    return Float64Array.from({ length: count }, (_, i) => (i < count - 1 ? first + i * step : last));
  }
  const bytes = Uint8Array.from(atob(packed.base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const read = packed.bytes === 8 ? (i) => view.getFloat64(i * 8, true) : (i) => view.getFloat32(i * 4, true);
  return Float64Array.from({ length: bytes.length / packed.bytes }, (_, i) => read(i) + packed.base);
}

/** Place in a sorted list of the last entry that is not above a value; 0 if all are. */
function lastUpTo(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A date in parts of the ISO form. Times count milliseconds of the clock that the file's times were written by. */
function clock(time) {
  const micros = Math.round(time * 1000);
  const [date, rest] = new Date(Math.floor(micros / 1000)).toISOString().split("T");
  const below = String(((micros % 1000) + 1000) % 1000).padStart(3, "0");
  return {
    date,
    minute: rest.slice(0, 5),
    second: rest.slice(6, 8),
    fraction: (rest.slice(9, 12) + below).replace(/0+$/, ""),
  };
}

/** A time as precise as the file's times are. */
function timeText(time) {
  if (page.base !== null) return String(BigInt(page.base) + BigInt(Math.round(time)));
  if (page.kind !== "datetime") return String(Number(time.toPrecision(12)));
  const { date, minute, second, fraction } = clock(time);
  if (page.precision === "day") return date;
  if (page.precision === "minute") return `${date} ${minute}`;
  return `${date} ${minute}:${second}${page.precision === "fraction" && fraction ? `.${fraction}` : ""}`;
}

/** A value for reading: six digits, all of a whole number's. */
function numberText(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e9) return String(Number(value.toPrecision(6)));
  return value
    .toExponential(4)
    .replace(/\.?0+e/, "e")
    .replace("e+", "e");
}

const STEPS = [
  ...[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7, 14].map((days) => days * DAY),
];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const MONDAY = 4 * DAY; // 1970-01-05: weeks start there

/** Round dates for the axis, about `most` of them. */
function dateTicks(from, to, most) {
  const step = STEPS.find((size) => (to - from) / size <= most);
  const ticks = [];
  if (step) {
    const origin = step >= 7 * DAY ? MONDAY : 0;
    const first = Math.ceil((from - origin) / step);
    for (let i = 0; origin + (first + i) * step <= to; i++) ticks.push(origin + (first + i) * step);
    return ticks;
  }
  const months = MONTHS.find((count) => (to - from) / (count * 30.4 * DAY) <= most) ?? MONTHS.at(-1);
  const start = new Date(from);
  let month = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
  for (; ; month += months) {
    const time = new Date(0).setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    if (time > to) return ticks;
    if (time >= from) ticks.push(time);
  }
}

/** Labels of round dates: the time of day, and the date below where it changes. */
function dateLabels(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : DAY;
  let day = "";
  return ticks.map((time) => {
    const { date, minute, second, fraction } = clock(time);
    if (step >= DAY) return date.slice(0, step >= 365 * DAY ? 4 : step >= 28 * DAY ? 7 : 10);
    const text = step >= MINUTE ? minute : `${minute}:${second}${step < 1000 ? `.${fraction || "0"}` : ""}`;
    const isNew = date !== day;
    day = date;
    return isNew ? `${text}\n${date}` : text;
  });
}

/** A label of the axis of values: short, and the same digits for all. */
function shortText(value, ticks) {
  const step = Math.abs(ticks[1] - ticks[0]) || Math.abs(value) || 1;
  const size = Math.max(...ticks.map(Math.abs));
  if (size >= 1e5 || size < 1e-3)
    return value === 0
      ? "0"
      : value
          .toExponential(2)
          .replace(/\.?0+e/, "e")
          .replace("e+", "e");
  let digits = 0;
  while (digits < 9 && Math.abs(step - Number(step.toFixed(digits))) > step / 1000) digits++;
  return value.toFixed(digits);
}
