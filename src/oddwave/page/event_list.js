// The list of events: a click or a key zooms there; each can be marked as right or wrong.

import { add, byId, count, lasting, number, percent } from "./dom.js";
import { t } from "./words.js";

export const MOST = 500; // listed; a threshold near zero finds thousands

const COLUMNS = ["", "start", "end", "duration", "peak_score", "top_channels", "mark"];
const KINDS = { "": "number", end: "wide", peak_score: "number" };

/** List events; `on` hears pick(event), mark(event, verdict), note(event, text). */
export function listEvents(events, kind, marks, on) {
  const heads = byId("list").querySelector("thead tr");
  heads.replaceChildren();
  for (const name of COLUMNS) add(heads, "th", name ? t(name) : "#", { scope: "col", class: KINDS[name] ?? "" });
  const listed = [...events].sort((a, b) => b.peak_score - a.peak_score).slice(0, MOST);
  listed.sort((a, b) => a.number - b.number);
  const body = byId("events");
  body.replaceChildren();
  for (const event of listed) addRow(body, event, kind, marks, on);
  byId("list-hint").textContent = !events.length
    ? t("no_events")
    : listed.length < events.length
      ? t("and_more", { shown: count(listed.length), all: count(events.length) })
      : t("list_hint");
  byId("export-marks").hidden = !marks.size;
}

function addRow(body, event, kind, marks, on) {
  const row = add(body, "tr", undefined, { "data-event": event.number });
  add(row, "td", event.number, { class: "number" });
  add(add(row, "td"), "button", event.start_text, { type: "button", class: "go" });
  add(row, "td", event.end_text, { class: "wide" });
  add(row, "td", lasting(event, kind));
  add(row, "td", number(event.peak_score, 4), { class: "number" });
  const shares = add(row, "td", undefined, { class: "shares" });
  for (const { name, share } of event.channels) {
    const item = add(shares, "span", undefined, { class: "share", title: `${name} ${percent(share)}` });
    add(item, "bdi", name);
    add(item, "span", percent(share));
    add(add(item, "i"), "b").style.width = `${Math.min(100, 100 * share)}%`;
  }
  addMarks(add(row, "td", undefined, { class: "marks" }), event, marks, on);
  row.addEventListener("click", ({ target }) => !target.closest(".marks") && on.pick(event));
  row.addEventListener("keydown", (press) => {
    const other = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[press.key];
    if (!other || !press.target.matches(".go")) return;
    other.querySelector(".go").focus();
    press.preventDefault();
    press.stopPropagation();
  });
}

function addMarks(cell, event, marks, on) {
  const mark = marks.of(event);
  for (const [verdict, sign] of [["right", "✓"], ["wrong", "✗"]]) {
    const button = add(cell, "button", sign, {
      type: "button",
      class: verdict,
      title: t(verdict),
      "aria-label": t(`${verdict}_event`, { number: event.number }),
      "aria-pressed": String(mark?.verdict === verdict),
    });
    button.addEventListener("click", () => {
      on.mark(event, verdict);
      cell.replaceChildren();
      addMarks(cell, event, marks, on);
      cell.querySelector(`.${verdict}`).focus();
      byId("export-marks").hidden = !marks.size;
    });
  }
  if (!mark) return;
  const note = add(cell, "input", undefined, {
    placeholder: t("note"),
    "aria-label": t("note_event", { number: event.number }),
    maxlength: 500,
  });
  note.value = mark.note;
  note.addEventListener("input", () => on.note(event, note.value));
}

/** Show which event is chosen. */
export function chooseRow(event) {
  for (const row of byId("events").rows) {
    const isChosen = Number(row.dataset.event) === event?.number;
    if (isChosen) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  byId("events").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}
