// The charts: one panel for the score and each channel, drawn by uPlot, all on one time axis.

const rows = unpack(page.rows); // first row of each bucket, and at the end the number of rows
const places = unpack(page.places); // where these rows are on the axis, the last one's at the end
const times = page.times ? unpack(page.times) : places; // and their times
const points = spread();
const isWholeNumbers = page.kind !== "datetime" && times.every(Number.isInteger);
const [LEFT, RIGHT] = [60, 14]; // pixels beside what is drawn; the style sheet knows them too
const LABEL = 5; // pixels that the bar of labelled rows is high
const LARGEST = 1e200;
const WHOLE_STEPS = Array.from({ length: 48 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));

/** Points of all lines: one for a row alone, two (its first and its last row) for a bucket of several. */
function spread() {
  const at = [];
  const bucket = [];
  const put = (place, number) => at.push(place) && bucket.push(number);
  const leaps = new Set(page.leaps);
  const steps = Array.from(rows.subarray(1), (stop, i) => (places[i + 1] - places[i]) / (stop - rows[i]));
  const usual = steps.slice(0, -1).sort((a, b) => a - b)[(steps.length - 1) >> 1] || 0;
  for (let i = 0; i < rows.length - 1; i++) {
    const more = rows[i + 1] - rows[i] - 1;
    const isLast = i === rows.length - 2;
    put(places[i], i);
    if (more && isLast) put(places[i + 1], i);
    else if (more) put(places[i] + more * (leaps.has(i + 1) ? Math.min(usual, steps[i]) : steps[i]), i);
    if (leaps.has(i + 1)) put((at.at(-1) + places[i + 1]) / 2, null); // no line over a hole in the data
  }
  return { at, bucket };
}

/** A line's values at all points; null where there is none. */
function pointsOf(values) {
  const place = (value) => Math.max(-LARGEST, Math.min(value, LARGEST)); // there must be room on the axis
  return points.bucket.map((bucket) =>
    bucket === null || Number.isNaN(values[bucket]) ? null : place(values[bucket]),
  );
}

/** Points to mark by dots: rows alone, if there is room for dots or no line leads to them. */
function dots(plot, which, hasRoom) {
  const values = plot.data[which];
  const [first, last] = plot.series[0].idxs;
  const found = [];
  for (let i = first; i <= last; i++) {
    const bucket = points.bucket[i];
    const isAlone = (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    if (values[i] !== null && rows[bucket + 1] - rows[bucket] === 1 && (hasRoom || isAlone)) found.push(i);
  }
  return found;
}

/** Colours of the style sheet, since a canvas can't use them by itself. */
let colours = {};
function readColours() {
  const probe = document.body.appendChild(document.createElement("i"));
  for (const name of ["line", "band", "over", "event", "chosen", "label", "missed", "grid", "quiet", "hatch"]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = colours.hatch;
  pen.lineWidth = 1.2;
  pen.beginPath();
  for (const from of [-8, 0, 8]) {
    pen.moveTo(from, 8);
    pen.lineTo(from + 8, 0);
  }
  pen.stroke();
  colours.hatching = pen.createPattern(tile, "repeat");
}

const FONT = (px) => `${px}px ${getComputedStyle(document.body).fontFamily}`;

/** Where a stretch of time is in a panel, at least two pixels wide; null if it is out of sight. */
function boxOf(plot, from, to) {
  const { bbox } = plot;
  const least = 2 * devicePixelRatio;
  let left = plot.valToPos(from, "x", true);
  let right = plot.valToPos(to, "x", true);
  if (right - left < least) [left, right] = [(left + right - least) / 2, (left + right + least) / 2];
  left = Math.max(left, bbox.left);
  right = Math.min(right, bbox.left + bbox.width);
  return right > left ? { left, width: right - left } : null;
}

/** Behind the lines: what wasn't scored is hatched, events are shaded, labelled rows have a bar below. */
function drawBehind(plot) {
  const { ctx, bbox } = plot;
  const fill = ([from, to], colour) => {
    const box = boxOf(plot, from, to);
    if (!box) return;
    ctx.fillStyle = colour;
    ctx.fillRect(box.left, bbox.top, box.width, bbox.height);
  };
  for (const span of page.unscored) fill(span, colours.hatching);
  for (const span of page.spans) fill(span, colours.event);
  page.events.forEach(({ from, to }, i) => fill([from, to], i === chosen ? colours.chosen : colours.event));
  for (const [from, to, isFound] of page.labels) {
    const box = boxOf(plot, from, to);
    if (!box) continue;
    const height = LABEL * devicePixelRatio;
    ctx.fillStyle = isFound ? colours.label : colours.missed;
    ctx.fillRect(box.left, bbox.top + bbox.height - height, box.width, height);
  }
}

/** Over the score: the threshold, the events' numbers, and why rows weren't scored, as far as there is room. */
function drawWords(plot) {
  drawThreshold(plot);
  const { ctx, bbox } = plot;
  const pixel = devicePixelRatio;
  const words = [];
  for (const [from, to, reason] of page.unscored)
    words.push([boxOf(plot, from, to), `not scored: ${reason}`, colours.quiet]);
  for (const { from, to, number } of page.events) words.push([boxOf(plot, from, to), String(number), colours.over]);
  ctx.save();
  ctx.font = FONT(11 * pixel);
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  let free = bbox.left; // labels don't touch each other
  for (const [box, text, colour] of words.filter(([box]) => box).sort(([a], [b]) => a.left - b.left)) {
    const width = ctx.measureText(text).width;
    const left = box.left + (box.width - width) / 2;
    if (left < free || left + width > bbox.left + bbox.width || (colour === colours.quiet && width > box.width))
      continue;
    ctx.fillStyle = colour;
    ctx.fillText(text, left, bbox.top + 3 * pixel);
    free = left + width + 4 * pixel;
  }
  ctx.restore();
}

function drawThreshold(plot) {
  const { ctx, bbox } = plot;
  const height = plot.valToPos(page.threshold, "y", true);
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

/** The score's colour: another one above the threshold. */
function scoreColour(plot, below, above) {
  const { ctx, bbox } = plot;
  const share = (plot.valToPos(page.threshold, "y", true) - bbox.top) / bbox.height;
  if (!(share > 0 && share < 1)) return share >= 1 ? above : below;
  const gradient = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
  gradient.addColorStop(share, above);
  gradient.addColorStop(share, below);
  return gradient;
}

/** Whether a label ends before the panel's right end does. */
function fits(plot, text, place) {
  const { min, max } = plot.scales.x;
  const width = 6 * Math.max(...text.split("\n").map((line) => line.length));
  return width / 2 < RIGHT + ((plot.width - LEFT - RIGHT) * (max - place)) / (max - min);
}

/** The axis of time: dates, numbers or, if rows are evenly spaced instead, the times of some rows. */
function timeAxis(isShown) {
  const isDated = page.kind === "datetime" && !page.times;
  const label = (place) => timeText(page.times ? times[lastUpTo(rows, place)] : place);
  const widest = Math.max(...[0, times.length >> 1, times.length - 1].map((i) => timeText(times[i]).length));
  return {
    size: isShown ? 40 : 6,
    font: FONT(11),
    stroke: () => colours.quiet,
    grid: { stroke: () => colours.grid, width: 1 },
    ticks: { show: isShown, stroke: () => colours.grid, width: 1, size: 4 },
    space: Math.max(60, 16 + 6.5 * widest),
    ...(page.times || isWholeNumbers ? { incrs: WHOLE_STEPS } : {}),
    ...(isDated ? { splits: (plot, _, from, to) => dateTicks(from, to, plot.width / 90) } : {}),
    values: (plot, ticks) => {
      if (!isShown) return ticks.map(() => "");
      return (isDated ? dateLabels(ticks) : ticks.map(label)).map((text, i) =>
        fits(plot, text, ticks[i]) ? text : "",
      );
    },
  };
}

function valueAxis() {
  return {
    size: LEFT,
    font: FONT(11),
    space: 26,
    stroke: () => colours.quiet,
    grid: { stroke: () => colours.grid, width: 1 },
    ticks: { show: false },
    values: (_, ticks) => ticks.map((value) => (value === null ? "" : shortText(value, ticks))),
  };
}

/** Where the axis of values begins and ends. */
function valueRange(isScore, low, high) {
  if (low === null) return [0, isScore ? page.threshold * 1.5 : 1];
  if (isScore) return [Math.min(0, low), 1.2 * Math.max(high, page.threshold)];
  if (low === high) return [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const margin = 0.08 * (high - low);
  return [low - margin, high + margin];
}

/** Make the panel of one line inside an element; `onPointer` hears of the bucket under the pointer, or null. */
function makePanel(inside, line, isScore, onPointer) {
  const low = unpack(line.low);
  const high = line.high ? unpack(line.high) : low;
  const colour = (plot) => (isScore ? scoreColour(plot, colours.line, colours.over) : colours.line);
  const stroke = { stroke: colour, width: 1.25, points: { size: 4, fill: colour, filter: dots } };
  const options = {
    width: inside.clientWidth,
    height: isScore ? 200 : 96,
    padding: [6, RIGHT, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, range: (_, from, to) => [from, to] },
      y: { range: (_, from, to) => valueRange(isScore, from, to) },
    },
    axes: [timeAxis(isScore), valueAxis()],
    series: [{}, { ...stroke }, ...(line.high ? [{ ...stroke }] : [])],
    bands: line.high ? [{ series: [1, 2], fill: () => colours.band }] : [],
    cursor: {
      y: false,
      points: { size: 6, width: 1 },
      drag: { x: true, y: false, setScale: false, dist: 4 },
      sync: {
        key: "time",
        scales: ["x", null],
        setSeries: false,
        filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
      },
      bind: { dblclick: () => showAll },
    },
    hooks: {
      drawClear: [drawBehind],
      draw: isScore ? [drawWords] : [],
      setCursor: [
        (plot) => {
          const { idx, left } = plot.cursor;
          onPointer(plot, idx === null || left < 0 ? null : points.bucket[idx], low, high);
        },
      ],
      setSelect: [drawn],
    },
  };
  const lines = line.high ? [pointsOf(high), pointsOf(low)] : [pointsOf(low)];
  return new uPlot(options, [points.at, ...lines], inside);
}

/** The pointer was dragged over a stretch: show it. */
function drawn(plot) {
  const { left, width } = plot.select;
  if (!width) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
}
