// Elements by id, new elements, numbers and times as text. All text goes in as text, never as markup.

import { language, t } from "./words.js";

export const byId = (id) => document.getElementById(id);

export function add(parent, tag, text, settings = {}) {
  const element = parent.appendChild(document.createElement(tag));
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(settings)) element.setAttribute(name, value);
  return element;
}

/** Hand a blob to the browser as a file. */
export function saveAs(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const count = (value) => value.toLocaleString(language());
export const percent = (share, digits = 2) => `${Number((100 * share).toPrecision(digits))} %`;

/** A value for reading: `digits` digits, all of a whole number's. */
export function number(value, digits = 5) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e9 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1);
}

/** A time of a result as text, by the clock of its file. */
export function timeText(time, kind) {
  if (kind !== "datetime") return number(time, 12);
  const text = new Date(time * 1000).toISOString().replace("T", " ").slice(0, 23);
  return text.replace(/\.000$/, "").replace(/(\d\d:\d\d):00$/, "$1");
}

const UNITS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** How long an event lasts: the two largest units; rows where times have none. */
export function lasting(event, kind) {
  if (kind !== "datetime") return t(event.rows === 1 ? "one_row" : "some_rows", { rows: count(event.rows) });
  let rest = event.end - event.start;
  const parts = [];
  for (const [size, unit] of UNITS) {
    const whole = size === 1 && !parts.length ? Number(rest.toPrecision(3)) : Math.floor(rest / size);
    if (whole && parts.length < 2) parts.push(`${whole} ${unit}`);
    rest -= whole * size;
  }
  return parts.join(" ") || "0 s";
}
