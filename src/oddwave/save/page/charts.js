// Charts and list of events at work: zoom, keys, pointer, light and dark. All text is put in as text, never as markup.

const byId = (id) => document.getElementById(id);

function add(parent, tag, text, settings = {}) {
  const element = parent.appendChild(document.createElement(tag));
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(settings)) element.setAttribute(name, value);
  return element;
}

// Zoom

const step = rows.length > 2 ? (places.at(-1) - places[0]) / (rows.at(-1) - 1) : 0; // of a usual row
const whole = step ? [places[0], places.at(-1)] : [(places[0] ?? 0) - 1, (places[0] ?? 0) + 1];
const panels = []; // {plot, box and part: elements, name: of the channel, null for the score}
let view = whole;
let chosen = -1; // place in page.events
const HOW = matchMedia("(pointer: coarse)").matches ? "Pinch a chart to zoom" : "Drag over a chart to zoom";
let isFragmentDue = false;

/** Show a stretch of time in all panels. */
function show(from, to, event = chosen) {
  const least = Math.min(2 * step || 2, whole[1] - whole[0]);
  const width = Math.min(Math.max(to - from, least), whole[1] - whole[0]);
  const first = Math.min(Math.max((from + to - width) / 2, whole[0]), whole[1] - width);
  view = [first, first + width];
  choose(event);
  for (const { plot } of panels) plot.batch(() => plot.setScale("x", { min: view[0], max: view[1] }));
  drawMap();
  const isWhole = view[0] === whole[0] && view[1] === whole[1];
  byId("charts").dataset.from = view[0];
  byId("charts").dataset.to = view[1];
  byId("reset").disabled = byId("wider").disabled = isWhole;
  byId("charts").classList.toggle("whole", isWhole);
  byId("shown").textContent = isWhole ? HOW : `${at(view[0])} to ${at(view[1])} ${page.zone}`;
  if (isFragmentDue) return;
  isFragmentDue = true; // browsers allow few changes a second
  setTimeout(() => {
    isFragmentDue = false;
    const fragment = view[0] === whole[0] && view[1] === whole[1] ? "" : `#from=${view[0]}&to=${view[1]}`;
    history.replaceState(null, "", fragment || location.pathname + location.search);
  }, 300);
}

function showAll() {
  show(...whole, -1);
}

/** The time at a place on the axis. */
function at(place) {
  if (page.times) return timeText(times[lastUpTo(places, place)]);
  return timeText(isWholeNumbers ? Math.round(place) : place);
}

function zoom(factor, centre = (view[0] + view[1]) / 2) {
  show(centre - (centre - view[0]) * factor, centre + (view[1] - centre) * factor);
}

function move(part) {
  const by = part * (view[1] - view[0]);
  show(view[0] + by, view[1] + by);
}

function showFragment() {
  const found = new URLSearchParams(location.hash.slice(1));
  const [from, to] = [Number.parseFloat(found.get("from")), Number.parseFloat(found.get("to"))];
  if (Number.isFinite(from) && from < to && Number.isFinite(to)) show(from, to, -1);
  else showAll();
}

// Events

function showEvent(place) {
  const { from, to } = page.events[place];
  const margin = Math.max(to - from, 20 * step) * 0.75;
  show(from - margin, to + margin, place);
  panels[0].box.scrollIntoView({ block: "nearest" });
}

/** Mark an event, and put its channels first; -1 is none. */
function choose(place) {
  if (place === chosen) return;
  chosen = place;
  for (const row of byId("events").rows) row.setAttribute("aria-selected", String(Number(row.dataset.place) === place));
  const { number, channels } = page.events[place] ?? { channels: [] };
  const places = new Map(channels.map(([name], i) => [name, i]));
  const rank = ({ name }) => (name === null ? -1 : (places.get(name) ?? channels.length));
  const inOrder = [...panels].sort((a, b) => rank(a) - rank(b));
  byId("panels").append(...inOrder.map(({ box }) => box));
  for (const { part, name } of panels) {
    part.textContent = places.has(name) ? `${percent(channels[places.get(name)][1])} of event ${number}` : "";
    places.delete(name);
  }
  byId("undrawn").textContent = places.size ? `Not drawn of event ${number}: ${[...places.keys()].join(", ")}.` : "";
}

const percent = (share) => `${Math.round(100 * share)} %`;

function focusRow(row) {
  if (!row) return;
  for (const other of byId("events").rows) other.tabIndex = other === row ? 0 : -1;
  row.focus();
}

function listenToList() {
  const list = byId("events");
  list.addEventListener("click", ({ target }) => {
    const row = target.closest("tr");
    focusRow(row);
    showEvent(Number(row.dataset.place));
  });
  list.addEventListener("keydown", (press) => {
    const row = press.target.closest("tr");
    const to = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: list.firstElementChild,
      End: list.lastElementChild,
    }[press.key];
    if (to !== undefined) focusRow(to);
    else if (press.key === "Enter" || press.key === " ") showEvent(Number(row.dataset.place));
    else return;
    press.preventDefault();
    press.stopPropagation();
  });
}

/** A click on an event in a chart chooses it, as one in the list does. */
function clicked(plot, click) {
  const place = plot.posToVal(click.clientX - plot.over.getBoundingClientRect().left, "x");
  const slack = (3 * (view[1] - view[0])) / plot.over.clientWidth;
  const found = page.events.findIndex(({ from, to }) => from - slack <= place && place <= to + slack);
  if (found < 0) return;
  choose(found);
  const row = [...byId("events").rows].find((each) => Number(each.dataset.place) === found);
  row.scrollIntoView({ block: "nearest" });
  for (const { plot: other } of panels) other.redraw(false);
}

// Panels, and what the pointer does

function makePanels() {
  const lines = [{ name: "Score", ...page.score }, ...page.channels];
  byId("how").textContent = page.how;
  lines.forEach((line, i) => {
    const box = add(byId("panels"), "figure", undefined, { "aria-label": `${line.name} over time` });
    const head = add(box, "figcaption");
    add(head, "bdi", line.name, { class: "name", title: line.name });
    const part = add(head, "span", undefined, { class: "part" });
    const value = add(head, "span", undefined, { class: "value" });
    if (!i) add(head, "span", `threshold ${page.threshold_text}`, { class: "limit" });
    const plot = makePanel(add(box, "div"), line, !i, (hovered, bucket, low, high) =>
      point(hovered, value, bucket, low, high),
    );
    plot.over.addEventListener("click", (click) => clicked(plot, click));
    panels.push({ plot, box, part, name: i ? line.name : null });
  });
  new ResizeObserver(() => fit()).observe(byId("panels"));
}

/** Make the panels as wide as the page, or as the paper. */
function fit(paper) {
  for (const { plot } of panels) {
    const width = paper ?? plot.root.parentNode.clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: plot.height });
  }
  drawMap();
}

const tip = add(document.body, "div", undefined, { id: "tip", hidden: "" });

/** The value under the pointer beside the panel's name, and the time at the pointer. */
function point(plot, value, bucket, low, high) {
  value.textContent = bucket === null ? "" : valueText(low[bucket], high[bucket]);
  if (bucket === null) tip.hidden = true;
  else if (plot.over.matches(":hover")) showTip(plot, bucket);
}

function valueText(low, high) {
  if (Number.isNaN(low)) return "–";
  return low === high ? numberText(low) : `${numberText(low)} … ${numberText(high)}`;
}

function showTip(plot, bucket) {
  const more = rows[bucket + 1] - rows[bucket] - 1;
  const words = [`${timeText(times[bucket])} ${page.zone}`.trim()];
  if (more) words[0] += ` and ${more.toLocaleString("en")} more row${more > 1 ? "s" : ""}`;
  else if (page.kind !== "row") words.push(`row ${rows[bucket].toLocaleString("en")}`);
  const why = page.unscored.find(([from, to]) => from <= places[bucket] && places[bucket] <= to);
  if (why) words.push(`not scored: ${why[2]}`);
  tip.textContent = words.join(" · ");
  tip.hidden = false;
  const box = plot.over.getBoundingClientRect();
  const room = document.documentElement.clientWidth - tip.offsetWidth - 4;
  const left = Math.max(4, Math.min(box.left + plot.cursor.left - tip.offsetWidth / 2, room));
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${box.top - tip.offsetHeight - 4 + scrollY}px`;
}

function listenToCharts() {
  const panelsBox = byId("panels");
  const placeAt = (clientX) => {
    const box = panels[0].plot.over.getBoundingClientRect();
    return view[0] + ((clientX - box.left) / box.width) * (view[1] - view[0]);
  };
  panelsBox.addEventListener(
    "wheel",
    (turn) => {
      const isSideways = Math.abs(turn.deltaX) > Math.abs(turn.deltaY) || turn.shiftKey;
      if (!turn.ctrlKey && !turn.metaKey && !isSideways) return; // the page scrolls
      turn.preventDefault();
      if (isSideways) move((turn.deltaX || turn.deltaY) / 1000);
      else zoom(1.002 ** turn.deltaY, placeAt(turn.clientX));
    },
    { passive: false },
  );
  const fingers = new Map(); // touching, by id: where
  panelsBox.addEventListener(
    "pointerdown",
    (touch) => touch.pointerType === "touch" && fingers.set(touch.pointerId, touch.clientX),
  );
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (touch) => fingers.delete(touch.pointerId));
  addEventListener("pointermove", (touch) => {
    if (!fingers.has(touch.pointerId)) return;
    const before = [...fingers.values()];
    const held = before.map(placeAt);
    fingers.set(touch.pointerId, touch.clientX);
    const after = [...fingers.values()];
    const width = panels[0].plot.over.clientWidth;
    const left = panels[0].plot.over.getBoundingClientRect().left;
    // what was held stays under the fingers
    let scale = (view[1] - view[0]) / width;
    if (after.length > 1) scale = Math.abs(held[1] - held[0]) / Math.max(Math.abs(after[1] - after[0]), 10);
    const from = held[0] - (after[0] - left) * scale;
    show(from, from + scale * width);
  });
  addEventListener("keydown", (press) => {
    if (press.ctrlKey || press.metaKey || press.altKey) return;
    const act = {
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      ArrowLeft: () => move(-0.25),
      ArrowRight: () => move(0.25),
      0: showAll,
      Escape: showAll,
    }[press.key];
    if (!act) return;
    act();
    press.preventDefault();
  });
  byId("reset").addEventListener("click", showAll);
  byId("closer").addEventListener("click", () => zoom(0.5));
  byId("wider").addEventListener("click", () => zoom(2));
}

// The map: where events are in all of the time, and which part is shown

function drawMap() {
  const map = byId("map");
  const left = (place) => `${(100 * (place - whole[0])) / (whole[1] - whole[0])}%`;
  if (!map.firstChild) {
    for (const { from, to } of page.events) {
      const mark = add(map, "i");
      mark.style.left = left(from);
      mark.style.right = `calc(100% - ${left(to)})`;
    }
    add(map, "b");
    const go = ({ clientX, buttons }) => {
      if (!buttons) return;
      const box = map.getBoundingClientRect();
      const centre = whole[0] + ((clientX - box.left) / box.width) * (whole[1] - whole[0]);
      const half = (view[1] - view[0]) / 2;
      show(centre - half, centre + half);
    };
    map.addEventListener("pointerdown", (press) => map.setPointerCapture(press.pointerId) ?? go(press));
    map.addEventListener("pointermove", go);
  }
  map.lastChild.style.left = left(view[0]);
  map.lastChild.style.right = `calc(100% - ${left(view[1])})`;
}

// Light and dark

function useTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", theme === "dark" ? "Use light colours" : "Use dark colours");
  readColours();
  for (const { plot } of panels) plot.redraw();
}

const PAPER = 690; // pixels between the margins of A4 and Letter

function listenToTheme() {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const wished = () => (wish.matches ? "dark" : "light");
  const theme = () => document.documentElement.dataset.theme;
  useTheme(wished());
  wish.addEventListener("change", () => useTheme(wished()));
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => useTheme(theme() === "dark" ? "light" : "dark"));
  let before = theme();
  addEventListener("beforeprint", () => {
    before = theme();
    useTheme("light");
    fit(PAPER);
  });
  addEventListener("afterprint", () => {
    useTheme(before);
    fit();
  });
}

/** Draw all panels and let them be used. */
function showCharts() {
  if (rows.length < 2) return;
  byId("charts").hidden = false;
  makePanels();
  listenToCharts();
  showFragment();
  addEventListener("hashchange", showFragment);
}
