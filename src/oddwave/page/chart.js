// The charts: the score and the channels over rows, one panel each, drawn by uPlot.
// What is known is drawn at once (`coarse`: all rows at the panels' width); the source's finer view follows.

import { drawColumns, isDense } from "./columns.js";
import { add, number, percent, timeText } from "./dom.js";
import { dateLabels, placeIn, roundTimes, valueAt } from "./ticks.js";
import { t } from "./words.js";

const [LEFT, RIGHT] = [60, 14]; // pixels beside what is drawn; the style sheet knows them too
const FINER_MS = 60; // after the last move
const LEAST_ROWS = 8;

export class Chart {
  #panels = []; // {plot, box, value, part, line, fine: data drawn now, coarse: of all rows}
  #wait = null;
  #asked = null;
  #colours = {};

  /** `on` hears: move(), pick(event) of a click, threshold(value, isDone) of a drag. */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.events = [];
    this.chosen = null;
    this.spans = null; // rows that a threshold not yet asked about would label
    new ResizeObserver(() => this.#fit()).observe(root);
    this.#listen();
  }

  /** Begin with a result: its lines are {name, channel: null for a score, result, source}. */
  async open(result, lines) {
    for (const { plot } of this.#panels) plot.destroy();
    this.root.replaceChildren();
    this.#panels = [];
    this.result = result;
    this.threshold = result.threshold;
    this.view = this.whole = [0, Math.max(result.rows - 1, 1)];
    this.readColours();
    const pixels = Math.max(200, this.root.clientWidth - LEFT - RIGHT) * 2; // twice: the first zoom stays sharp
    const views = await this.#ask(lines, [0, result.rows], pixels);
    this.times = views[0];
    lines.forEach((line, i) => this.#panels.push(this.#panel(line, views[i])));
    this.show(...this.view);
  }

  /** Add panels below, for more channels. */
  async more(lines) {
    const views = await this.#ask(lines, [0, this.result.rows], this.root.clientWidth * 2);
    lines.forEach((line, i) => this.#panels.push(this.#panel(line, views[i])));
    this.show(...this.view);
  }

  /** Show a stretch of rows: what is there at once, the rest as soon as it comes. */
  show(from, to) {
    const width = Math.min(Math.max(to - from, LEAST_ROWS), this.whole[1]);
    const first = Math.min(Math.max((from + to - width) / 2, 0), this.whole[1] - width);
    this.view = [first, first + width];
    for (const panel of this.#panels) this.#draw(panel);
    this.on.move();
    clearTimeout(this.#wait);
    this.#asked?.abort();
    if (!this.isWhole()) this.#wait = setTimeout(() => this.#refine(), FINER_MS);
  }

  isWhole() {
    return this.view[0] === 0 && this.view[1] === this.whole[1];
  }

  zoom(factor, centre = (this.view[0] + this.view[1]) / 2) {
    this.show(centre - (centre - this.view[0]) * factor, centre + (this.view[1] - centre) * factor);
  }

  move(part) {
    const by = part * (this.view[1] - this.view[0]);
    this.show(this.view[0] + by, this.view[1] + by);
  }

  /** Show an event with some rows on both sides, its channels first. */
  showEvent(event) {
    const margin = Math.max(event.rows, 40) * 0.75;
    this.choose(event);
    this.show(event.first_row - margin, event.last_row + margin);
  }

  choose(event) {
    this.chosen = event;
    const shares = new Map((event?.channels ?? []).map(({ name, share }) => [name, share]));
    const order = [null, ...shares.keys()]; // the score stays first
    const rank = ({ line }) => (order.includes(line.channel) ? order.indexOf(line.channel) : order.length);
    const sorted = [...this.#panels].sort((a, b) => rank(a) - rank(b));
    this.root.append(...sorted.map(({ box }) => box));
    for (const { part, line } of this.#panels) {
      const share = line.channel !== null && shares.get(line.channel);
      part.textContent = share ? t("part", { share: percent(share), number: event.number }) : "";
    }
  }

  setEvents(events) {
    this.events = events;
    this.spans = null;
    this.redraw();
  }

  /** Draw another threshold, with the labels that follow from what is drawn. */
  setThreshold(threshold) {
    this.threshold = threshold;
    const [score] = this.#panels;
    if (score) this.spans = spansAbove(score.coarse, threshold);
    this.redraw();
  }

  redraw() {
    for (const { plot } of this.#panels) plot.redraw(false);
    const [score] = this.#panels;
    if (score) placeHandle(score, this.threshold);
  }

  timeAt(row) {
    const { rows, time } = this.times;
    return timeText(valueAt(time, placeIn(rows, row)), this.result.time.kind);
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const probe = add(document.body, "i");
    for (const name of ["line", "band", "over", "event", "chosen", "grid", "quiet"]) {
      probe.style.color = `var(--${name})`;
      this.#colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.#colours.font = `11px ${style.fontFamily || "sans-serif"}`;
    this.redraw();
  }

  /** Views of lines, one for each; channels of one result are asked for together. */
  async #ask(lines, [first, last], pixels, signal) {
    const asked = new Map(); // result: promise
    for (const { result, source } of lines) {
      const channels = lines.filter((line) => line.result === result && line.channel !== null).map((l) => l.channel);
      if (!asked.has(result)) asked.set(result, source.view(result, { first, last, pixels, channels }, signal));
    }
    const found = new Map();
    for (const [result, promise] of asked) found.set(result, await promise);
    return lines.map(({ result, channel }) => {
      const view = found.get(result);
      const { min, max } = channel === null ? view.score : view.channels[channel];
      return { rows: view.rows, time: view.time, min, max, first, last };
    });
  }

  async #refine() {
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const width = this.view[1] - this.view[0];
    const first = Math.max(0, Math.floor(this.view[0] - width / 2)); // a margin, so that small moves stay sharp
    const last = Math.min(this.result.rows, Math.ceil(this.view[1] + width / 2) + 1);
    try {
      const panels = [...this.#panels];
      const views = await this.#ask(panels.map(({ line }) => line), [first, last], this.root.clientWidth * 2, signal);
      if (signal.aborted) return;
      panels.forEach((panel, i) => (panel.fine = views[i]));
      if (last - first <= this.root.clientWidth * 2) this.close = views[0];
      for (const panel of panels) this.#draw(panel);
    } catch (error) {
      if (error.name !== "AbortError" && !signal.aborted) this.on.fail(error);
    }
  }

  /** Draw a panel from the finest data that covers what is shown. */
  #draw(panel) {
    const [from, to] = this.view;
    const { fine, coarse, plot } = panel;
    const isCovered = fine && fine.first <= from && fine.last >= to && fine.last - fine.first < 4 * (to - from);
    const data = isCovered ? fine : coarse;
    plot.batch(() => {
      if (panel.drawn !== data) {
        panel.drawn = data;
        plot.setData([data.rows, data.max, data.min], false);
      }
      plot.setScale("x", { min: from, max: to });
    });
    if (panel.handle) placeHandle(panel, this.threshold);
  }

  #panel(line, view) {
    const isFirst = !this.#panels.length;
    const isScore = line.channel === null;
    const box = add(this.root, "figure", undefined, { "aria-label": t("over_time", { name: line.name }) });
    const head = add(box, "figcaption");
    add(head, "bdi", line.name, { class: "name", title: line.name });
    const part = add(head, "span", undefined, { class: "part" });
    const value = add(head, "span", undefined, { class: "value" });
    const inside = add(box, "div");
    const panel = { box, part, value, line, coarse: view, fine: null, drawn: view };
    panel.plot = new uPlot(this.#options(inside, panel, isScore, isFirst), [view.rows, view.max, view.min], inside);
    if (isFirst) panel.handle = this.#handle(panel);
    panel.plot.over.addEventListener("click", (click) => this.#clicked(panel.plot, click));
    return panel;
  }

  #options(inside, panel, isScore, isFirst) {
    const threshold = () => (isFirst ? this.threshold : panel.line.threshold);
    const colours = this.#colours;
    const stroke = (plot) => (isScore ? colourAbove(plot, threshold(), colours) : colours.line);
    const isColumns = (plot) => isDense(plot, panel.drawn, this.view);
    const paths = (plot, ...what) => (isColumns(plot) ? null : uPlot.paths.linear()(plot, ...what));
    const columns = (plot) => isColumns(plot) && drawColumns(plot, panel.drawn, isScore ? threshold() : null, colours);
    return {
      width: Math.max(inside.clientWidth, 100),
      height: isScore ? 180 : 92,
      padding: [6, RIGHT, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, range: (_, from, to) => [from, to] },
        y: { range: (_, low, high) => valueRange(low, high, isScore ? threshold() : null) },
      },
      axes: [this.#timeAxis(isScore), valueAxis(colours)],
      series: [{}, ...[0, 1].map(() => ({ stroke, paths, width: 1.25, points: { size: 4 } }))],
      bands: [{ series: [1, 2], fill: () => colours.band }],
      cursor: {
        y: false,
        points: { size: 6 },
        drag: { x: true, y: false, setScale: false, dist: 4 },
        sync: { key: "rows", scales: ["x", null], setSeries: false, filters: { pub: (type) => type !== "mouseup" } },
        bind: { dblclick: () => () => this.show(...this.whole) },
      },
      hooks: {
        drawClear: [(plot) => this.#drawEvents(plot)],
        draw: isScore ? [columns, (plot) => drawThreshold(plot, threshold(), colours)] : [columns],
        setCursor: [(plot) => this.#point(plot, panel)],
        setSelect: [(plot) => this.#select(plot)],
      },
    };
  }

  #timeAxis(isShown) {
    const isDated = () => this.result.time.kind === "datetime";
    const times = () => this.close && this.close.first <= this.view[0] && this.close.last >= this.view[1] ? this.close : this.times;
    let labels = [];
    return {
      size: isShown ? 40 : 6,
      font: this.#colours.font,
      stroke: () => this.#colours.quiet,
      grid: { stroke: () => this.#colours.grid, width: 1 },
      ticks: { show: false },
      splits: (plot, _, from, to) => {
        const { rows, time } = times();
        const at = (row) => valueAt(time, placeIn(rows, row));
        const found = roundTimes(at(from), at(to), Math.max(2, plot.width / 110), isDated());
        labels = isDated() ? dateLabels(found) : found.map((each) => number(each, 12));
        return found.map((each) => valueAt(rows, placeIn(time, each)));
      },
      values: (_, ticks) => ticks.map((__, i) => (isShown ? (labels[i] ?? "") : "")),
    };
  }

  /** Behind the lines: events, or what a new threshold would label. */
  #drawEvents(plot) {
    const { ctx, bbox } = plot;
    const spans = this.spans ?? this.events.map((event) => [event.first_row, event.last_row, event]);
    const right = bbox.left + bbox.width;
    for (const [from, to, event] of spans) {
      if (to < this.view[0] || from > this.view[1]) continue;
      const start = Math.max(plot.valToPos(from - 0.5, "x", true), bbox.left);
      const stop = Math.min(Math.max(plot.valToPos(to + 0.5, "x", true), start + 2 * devicePixelRatio), right);
      ctx.fillStyle = event && event === this.chosen ? this.#colours.chosen : this.#colours.event;
      ctx.fillRect(start, bbox.top, stop - start, bbox.height);
    }
  }

  #point(plot, panel) {
    const { idx, left } = plot.cursor;
    if (idx === null || idx === undefined || left < 0) return void (panel.value.textContent = "");
    const [rows, max, min] = plot.data;
    const text = min[idx] === max[idx] ? number(min[idx]) : `${number(min[idx])} … ${number(max[idx])}`;
    panel.value.textContent = panel.line.channel === null ? `${this.timeAt(rows[idx])} · ${text}` : text;
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (!width) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
  }

  #clicked(plot, { clientX }) {
    const row = plot.posToVal(clientX - plot.over.getBoundingClientRect().left, "x");
    const slack = (3 * (this.view[1] - this.view[0])) / plot.over.clientWidth;
    const found = this.events.find((event) => event.first_row - slack <= row && row <= event.last_row + slack);
    if (found) this.on.pick(found);
  }

  /** The threshold's handle on the score: by mouse, finger and keys. */
  #handle(panel) {
    const { plot } = panel;
    const handle = add(plot.over, "div", undefined, {
      class: "handle", role: "slider", tabindex: 0, "aria-orientation": "vertical", "aria-label": t("drag_threshold"), "aria-valuemin": 0,
    });
    const change = (value, isDone) => {
      const most = Math.max(this.result.max_score * 1.2, this.result.threshold);
      this.on.threshold(Math.min(Math.max(value, most * 1e-4), most), isDone);
    };
    let range = null; // held while dragging, so that the axis stays under the pointer
    handle.addEventListener("pointerdown", (press) => {
      press.stopPropagation();
      handle.setPointerCapture(press.pointerId);
      range = [plot.scales.y.min, plot.scales.y.max, plot.over.getBoundingClientRect()];
    });
    handle.addEventListener("mousedown", (press) => press.stopPropagation()); // uPlot would begin to zoom
    handle.addEventListener("click", (click) => click.stopPropagation());
    handle.addEventListener("pointermove", ({ clientY }) => {
      if (!range) return;
      const [low, high, box] = range;
      change(high - ((clientY - box.top) / box.height) * (high - low), false);
    });
    for (const end of ["pointerup", "pointercancel"])
      handle.addEventListener(end, () => {
        if (range) change(this.threshold, true);
        range = null;
      });
    handle.addEventListener("keydown", (press) => {
      const by = { ArrowUp: 0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowLeft: -0.01, PageUp: 0.1, PageDown: -0.1 }[press.key];
      if (!by) return;
      press.preventDefault();
      press.stopPropagation();
      change(this.threshold + by * this.result.max_score, true);
    });
    return handle;
  }

  #fit() {
    for (const { plot, box } of this.#panels)
      if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: plot.height });
    this.redraw();
  }

  #listen() {
    const rowAt = (x) => {
      const box = this.#panels[0].plot.over.getBoundingClientRect();
      return this.view[0] + ((x - box.left) / box.width) * (this.view[1] - this.view[0]);
    };
    this.root.addEventListener(
      "wheel",
      (turn) => {
        const isSideways = Math.abs(turn.deltaX) > Math.abs(turn.deltaY) || turn.shiftKey;
        if (!this.#panels.length || (!turn.ctrlKey && !turn.metaKey && !isSideways)) return; // the page scrolls
        turn.preventDefault();
        if (isSideways) this.move((turn.deltaX || turn.deltaY) / 1000);
        else this.zoom(1.002 ** turn.deltaY, rowAt(turn.clientX));
      },
      { passive: false },
    );
    const fingers = new Map(); // id: where
    this.root.addEventListener("pointerdown", ({ pointerType, pointerId, clientX, target }) => {
      if (pointerType === "touch" && target.closest(".u-over") && !target.closest(".handle")) fingers.set(pointerId, clientX);
    });
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, ({ pointerId }) => fingers.delete(pointerId));
    addEventListener("pointermove", ({ pointerId, clientX }) => {
      if (!fingers.has(pointerId)) return;
      const held = [...fingers.values()].map(rowAt);
      fingers.set(pointerId, clientX);
      const now = [...fingers.values()];
      const { left, width } = this.#panels[0].plot.over.getBoundingClientRect();
      let scale = (this.view[1] - this.view[0]) / width;
      if (now.length > 1) scale = Math.abs(held[1] - held[0]) / Math.max(Math.abs(now[1] - now[0]), 10);
      const from = held[0] - (now[0] - left) * scale; // what was held stays under the fingers
      this.show(from, from + scale * width);
    });
  }
}

function placeHandle({ plot, handle }, threshold) {
  const top = Math.min(Math.max(plot.valToPos(threshold, "y"), 0), plot.over.clientHeight);
  handle.style.top = `${top}px`;
  handle.setAttribute("aria-valuenow", threshold);
  handle.setAttribute("aria-valuemax", Math.max(plot.scales.y.max, threshold));
  handle.setAttribute("aria-valuetext", number(threshold, 4));
}

/** Runs of groups whose score is above a threshold, as [first row, last row]. */
export function spansAbove({ rows, max, last }, threshold) {
  const spans = [];
  for (let i = 0; i < rows.length; i++) {
    if (max[i] === null || !(max[i] > threshold)) continue;
    const stop = (rows[i + 1] ?? last) - 1;
    if (spans.length && spans.at(-1)[1] === rows[i] - 1) spans.at(-1)[1] = stop;
    else spans.push([rows[i], stop]);
  }
  return spans;
}

function valueRange(low, high, threshold) {
  if (low === null) return [0, threshold === null ? 1 : threshold * 1.5];
  if (threshold !== null) return [Math.min(0, low), 1.2 * Math.max(high, threshold)];
  const margin = 0.08 * (high - low) || (Math.abs(high) || 1) * 0.1;
  return [low - margin, high + margin];
}

function valueAxis(colours) {
  return {
    size: LEFT,
    font: colours.font,
    space: 26,
    stroke: () => colours.quiet,
    grid: { stroke: () => colours.grid, width: 1 },
    ticks: { show: false },
    values: (_, ticks) => ticks.map((value) => (value === null ? "" : number(Number(value.toPrecision(9)), 4))),
  };
}

function drawThreshold(plot, threshold, colours) {
  const { ctx, bbox } = plot;
  const height = plot.valToPos(threshold, "y", true);
  ctx.save();
  ctx.strokeStyle = colours.over;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, height);
  ctx.lineTo(bbox.left + bbox.width, height);
  ctx.stroke();
  ctx.restore();
}

/** A line's colour: another one above the threshold. */
function colourAbove(plot, threshold, colours) {
  const { ctx, bbox } = plot;
  const share = (plot.valToPos(threshold, "y", true) - bbox.top) / bbox.height;
  if (!(share > 0 && share < 1)) return share >= 1 ? colours.line : colours.line;
  const gradient = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
  gradient.addColorStop(share, colours.over);
  gradient.addColorStop(share, colours.line);
  return gradient;
}
