// Two detectors on one file: which events both find, and which only one.

import { add, byId } from "./dom.js";
import { t } from "./words.js";

const MOST = 20; // differences listed

const meets = (event, others) => others.some((o) => o.first_row <= event.last_row && event.first_row <= o.last_row);

/** Events of `a` that `b` finds too, and those that only one of them finds. */
export function compare(a, b) {
  return {
    both: a.filter((event) => meets(event, b)),
    first: a.filter((event) => !meets(event, b)),
    second: b.filter((event) => !meets(event, a)),
  };
}

/** Say how far two results agree; `pick` hears of a click on a difference. */
export function showComparison(one, other, pick) {
  byId("comparison").hidden = !other;
  if (!other) return;
  const { both, first, second } = compare(one.events, other.events);
  const values = { both: both.length, first: first.length, second: second.length, a: one.model, b: other.model };
  byId("agreement").textContent = t("agreement", values);
  byId("differences").replaceChildren();
  const all = [...first.map((event) => [one, event]), ...second.map((event) => [other, event])];
  all.sort(([, a], [, b]) => b.peak_score - a.peak_score);
  for (const [{ model }, event] of all.slice(0, MOST)) {
    const text = t("only", { model, from: event.start_text, to: event.end_text });
    add(add(byId("differences"), "li"), "button", text, { type: "button" }).addEventListener("click", () => pick(event));
  }
}
