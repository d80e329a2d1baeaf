// The page of a result: its head and its list of events.

/** Columns: name, text, class, and what to sort by. */
const COLUMNS = [
  ["#", (event) => event.number, "number", (event) => event.number],
  ["Start", (event) => event.start, ""],
  ["End", (event) => event.end, page.kind === "datetime" ? "wide" : ""],
  ["Duration", (event) => event.lasted, "", (event) => -event.duration],
  ["Rows", (event) => event.rows.toLocaleString("en"), "number wide", (event) => -event.rows],
  ["Peak score", (event) => event.peak_text, "number", (event) => -event.peak],
];

function listEvents() {
  const columns = COLUMNS.filter(([name]) => name !== "Duration" || page.kind === "datetime");
  const heads = byId("list").querySelector("thead tr");
  for (const [name, , kind, key] of columns) {
    const head = add(heads, "th", key ? undefined : name, { scope: "col", class: kind });
    if (key) add(head, "button", name, { type: "button" }).addEventListener("click", () => sortEvents(head, key));
  }
  add(heads, "th", "Top channels and their share of the score", { scope: "col" });
  heads.firstChild.setAttribute("aria-sort", "ascending");
  page.events.forEach((event, place) => {
    const row = add(byId("events"), "tr", undefined, {
      tabindex: place ? -1 : 0,
      "data-place": place,
      "aria-selected": "false",
    });
    for (const [, text, kind] of columns) add(row, "td", text(event), { class: kind });
    const cell = add(row, "td");
    for (const [name, share] of event.channels) {
      const item = add(cell, "span", undefined, { class: "share", title: `${name} ${percent(share)}` });
      add(item, "bdi", name);
      add(item, "span", percent(share));
      add(add(item, "i"), "b").style.width = `${100 * share}%`;
    }
  });
}

function sortEvents(head, key) {
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", head.cellIndex > 0 ? "descending" : "ascending");
  const inOrder = [...byId("events").rows].sort(
    (a, b) => key(page.events[a.dataset.place]) - key(page.events[b.dataset.place]),
  );
  byId("events").append(...inOrder);
}

for (const [name, text] of page.facts) {
  const fact = add(byId("facts"), "div");
  add(fact, "dt", name);
  add(fact, "dd", text, { dir: "auto" });
}
for (const [id, texts] of [
  ["notes", page.notes],
  ["unscored", page.reasons],
]) {
  byId(id).hidden = !texts.length;
  for (const text of texts) add(byId(id).querySelector("ul"), "li", text, { dir: "auto" });
}
listenToTheme();
byId("list").hidden = !page.events.length;
if (page.events.length) {
  byId("events-title").textContent = page.events_title;
  byId("verdict").className = "found";
  listEvents();
  listenToList();
}
showCharts();
