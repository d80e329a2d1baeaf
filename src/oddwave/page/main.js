// The page at work: a file, a detector, a result; everything else is in a module of its own.

import { Chart } from "./chart.js";
import { showComparison } from "./compare.js";
import { add, byId, count, number, percent, saveAs } from "./dom.js";
import { chooseRow, listEvents } from "./event_list.js";
import { keyOf, Marks } from "./marks.js";
import { keepKey, ServiceSource } from "./service.js";
import { listenToTheme } from "./theme.js";
import { Training } from "./train.js";
import { changeLanguage, t, translate } from "./words.js";

const DRAWN = 6; // channels at first
const ASK_MS = 120; // after the last move of the threshold

const now = { source: new ServiceSource(), about: null, picked: null, file: null, marks: null, result: null, other: null, undrawn: [] };
let limit = {}; // what the events were last asked for
let isAsked = null;
let turn = 0; // of the last file or detector asked for: answers to earlier ones are dropped

const chart = new Chart(byId("panels"), { move: moved, pick, threshold: setThreshold, fail });
const training = new Training({ source: () => now.source, use: useDetector, fail });

// Start

async function start() {
  translate();
  listenToTheme(() => chart.result && chart.readColours());
  listen();
  try {
    now.about = await now.source.about();
  } catch (error) {
    if (error.status === 401) byId("key").hidden = false;
    else fail(error);
    return;
  }
  byId("key").hidden = true;
  showStart();
}

function showStart() {
  const { about } = now;
  byId("start").hidden = Boolean(now.file);
  byId("example").hidden = !about.example;
  byId("version").textContent = `Oddwave ${about.version}`;
  training.open(about.training);
  listModels();
}

/** Say what went wrong, as text. */
function fail(error) {
  if (error.name === "AbortError") return;
  status("");
  byId("error").hidden = false;
  byId("error").querySelector("p").textContent = error.message || t("offline");
}

function status(text) {
  byId("status").textContent = text;
  document.body.classList.toggle("busy", text.endsWith("…"));
}

/** Do something and say so if it fails; a newer one takes its place. */
async function attempt(work) {
  const mine = ++turn;
  byId("error").hidden = true;
  try {
    await work(() => mine === turn);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

// File and detector

function open(file) {
  return attempt(async (isMine) => {
    status(t("reading", { name: file?.name ?? now.about.example }));
    const opened = file ? await now.source.openFile(file) : await now.source.openExample();
    if (!isMine()) return;
    if (now.file) now.source.close(now.file.file).catch(() => {}); // it expires anyway
    now.picked = file;
    now.file = opened;
    now.marks = new Marks(await keyOf(file, opened));
    byId("start").hidden = true;
    byId("result").hidden = true;
    byId("setup").hidden = false;
    byId("other").value = "";
    byId("file-name").textContent = opened.name;
    listModels();
    training.offer(opened);
    if (byId("model").value) await detect(isMine);
    else status("");
  });
}

const channelsOf = (file) => new Set(file.columns.filter(({ kind }) => kind === "number").map(({ name }) => name));

function fits(model) {
  if (!now.file) return true;
  const there = channelsOf(now.file);
  return model.channels.every((name) => there.has(name));
}

/** Offer the detectors that know the file's channels; the default, or else the first, is chosen. */
function listModels() {
  const { models, default: usual } = now.about;
  const fitting = models.filter(fits);
  const before = { model: byId("model").value, other: byId("other").value };
  for (const id of ["model", "other"]) {
    byId(id).replaceChildren();
    if (id === "other") add(byId(id), "option", t("nothing"), { value: "" });
    for (const model of models) {
      const text = fits(model) ? model.name : `${model.name} (${t("unfit")})`;
      add(byId(id), "option", nameOf(model, text), { value: model.name }).disabled = !fits(model);
    }
  }
  const wished = [before.model, usual].find((name) => fitting.some((model) => model.name === name));
  byId("model").value = wished ?? fitting[0]?.name ?? "";
  byId("other").value = fitting.some(({ name }) => name === before.other) ? before.other : "";
  byId("advice").hidden = !now.file || fitting.length > 0;
  byId("advice").textContent = t("no_detector");
  if (now.file) {
    const channels = channelsOf(now.file).size;
    byId("file-facts").textContent = t("file_facts", { rows: count(now.file.rows), channels: count(channels) });
  }
}

const nameOf = (model, text) => (model.own && model.title ? text.replace(model.name, model.title) : text);

function wish(model) {
  const settings = { merge_gap: byId("merge_gap").valueAsNumber, min_length: byId("min_length").valueAsNumber };
  for (const name of Object.keys(settings)) if (Number.isNaN(settings[name])) delete settings[name];
  return { file: now.file.file, model, mode: byId("mode").value, settings };
}

async function detect(isMine) {
  const model = byId("model").value;
  status(t("scoring", { model }));
  const result = await now.source.detect(wish(model));
  if (!isMine()) return;
  limit = {};
  now.result = result;
  now.other = byId("other").value ? await now.source.detect(wish(byId("other").value)) : null;
  if (!isMine()) return;
  byId("result").hidden = false; // before the charts: they take its width
  byId("budget").value = "";
  await showCharts();
  showEvents(result);
  showNotes();
  status(t("done", { seconds: number(result.seconds, 2) }));
}

const detectAgain = () => now.file && byId("model").value && attempt(detect);

function addDetector(file) {
  return attempt(async () => useDetector(await now.source.addDetector(file)));
}

function useDetector(model) {
  now.about.models = [...now.about.models.filter(({ name }) => name !== model.name), model];
  listModels();
  if (!now.file) return undefined;
  if (!fits(model)) return fail(new Error(t("no_detector")));
  byId("model").value = model.name;
  return detectAgain();
}

// Charts

/** Channels of a result, those first that contribute most to its events. */
function ranked(result) {
  const weight = new Map(result.channels.map((name) => [name, 0]));
  for (const { channels, rows } of result.events)
    for (const { name, share } of channels) weight.set(name, (weight.get(name) ?? 0) + share * rows);
  return [...result.channels].sort((a, b) => weight.get(b) - weight.get(a));
}

const line = (result, channel, name = channel) => ({
  name, channel, result: result.result, source: now.source, threshold: result.threshold,
});

async function showCharts() {
  const { result, other } = now;
  const channels = ranked(result);
  const scores = [line(result, null, t("score"))];
  if (other) scores.push(line(other, null, t("score_of", { model: other.model })));
  now.undrawn = channels.slice(DRAWN);
  byId("more").hidden = !now.undrawn.length;
  byId("more").textContent = t("more", { count: now.undrawn.length });
  await chart.open(result, [...scores, ...channels.slice(0, DRAWN).map((name) => line(result, name))]);
}

async function showMore(names = now.undrawn) {
  const wanted = names.filter((name) => now.undrawn.includes(name));
  if (!wanted.length) return;
  now.undrawn = now.undrawn.filter((name) => !wanted.includes(name));
  byId("more").hidden = !now.undrawn.length;
  byId("more").textContent = t("more", { count: now.undrawn.length });
  await chart.more(wanted.map((name) => line(now.result, name)));
}

/** Draw all again, in another language. */
async function showAgain() {
  const { view, threshold } = chart;
  await showCharts();
  showEvents({ ...now.result, threshold });
  showNotes();
  chart.show(...view);
}

function moved() {
  const [from, to] = chart.view;
  byId("charts").dataset.from = from;
  byId("charts").dataset.to = to;
  byId("whole").disabled = byId("wider").disabled = chart.isWhole();
  byId("shown").textContent = t("shown", { from: chart.timeAt(from), to: chart.timeAt(to) });
  const window = byId("map").querySelector("b");
  if (!window) return;
  window.hidden = chart.isWhole();
  window.style.left = `${(100 * from) / chart.whole[1]}%`;
  window.style.right = `${100 - (100 * to) / chart.whole[1]}%`;
}

function drawMap(events) {
  byId("map").replaceChildren();
  for (const { first_row, last_row } of events) {
    const mark = add(byId("map"), "i");
    mark.style.left = `${(100 * first_row) / chart.whole[1]}%`;
    mark.style.right = `${100 - (100 * last_row) / chart.whole[1]}%`;
  }
  add(byId("map"), "b");
  moved();
}

async function pick(event) {
  chooseRow(event);
  await showMore(event.channels.map(({ name }) => name)).catch(fail);
  chart.showEvent(event);
}

// Threshold and events

function showEvents({ threshold, anomalous, expected, events }) {
  events.forEach((event, i) => (event.number = i + 1));
  const { result } = now;
  Object.assign(result, { events, anomalous });
  chart.threshold = threshold;
  chart.setEvents(events);
  drawMap(events);
  listEvents(events, result.time.kind, now.marks, {
    pick,
    mark: (event, verdict) => now.marks.set(event, verdict),
    note: (event, text) => now.marks.note(event, text),
  });
  byId("threshold").value = Number(threshold.toPrecision(5));
  byId("expected").textContent = typeof expected === "number" ? t("expected", { share: percent(expected) }) : "";
  const worst = events.reduce((a, b) => (a && a.peak_score >= b.peak_score ? a : b), null);
  const values = { events: t(events.length === 1 ? "one_event" : "some_events", { events: count(events.length) }), anomalous: count(anomalous), rows: count(result.rows), threshold: number(threshold, 4) };
  byId("verdict").className = worst ? "found" : "";
  byId("verdict").textContent = worst
    ? t("found", { ...values, peak: worst.start_text, score: number(worst.peak_score, 4) })
    : t("none_found", { ...values, score: number(result.max_score, 4) });
  showComparison({ ...result }, now.other, (event) => chart.showEvent(event));
}

/** Draw the new threshold and its labels at once; the events follow when it rests. */
function setThreshold(threshold) {
  chart.setThreshold(threshold);
  byId("threshold").value = Number(threshold.toPrecision(5));
  byId("budget").value = "hand";
  askEvents({ threshold });
}

function askEvents(wanted) {
  limit = wanted;
  clearTimeout(isAsked);
  isAsked = setTimeout(async () => {
    const asked = now.result.result;
    try {
      const found = await now.source.events(asked, wanted);
      if (limit === wanted && now.result.result === asked) showEvents(found);
    } catch (error) {
      fail(error);
    }
  }, ASK_MS);
}

function showNotes() {
  const { notes, unscored } = now.result;
  const texts = [...notes];
  if (unscored.rows) texts.push(t("unscored", { rows: count(unscored.rows), why: unscored.why.join("; ") }));
  byId("notes").hidden = !texts.length;
  byId("notes").querySelector("ul").replaceChildren();
  for (const text of texts) add(byId("notes").querySelector("ul"), "li", text, { dir: "auto" });
  byId("formats").replaceChildren();
  for (const format of now.about.formats)
    add(byId("formats"), "button", format.toUpperCase(), { type: "button" }).addEventListener("click", () => save(format));
}

async function save(format) {
  try {
    const blob = await now.source.download(now.result.result, format, { threshold: chart.threshold });
    saveAs(blob, `${now.file.name.replace(/\.\w+$/, "")}_anomalies.${format}`);
  } catch (error) {
    fail(error);
  }
}

// What the page hears

function listen() {
  if (listen.isDone) return;
  listen.isDone = true;
  const on = (id, kind, act) => byId(id).addEventListener(kind, act);
  for (const id of ["pick", "another"]) on(id, "click", () => byId("file").click());
  on("example", "click", () => open(null));
  for (const [id, act] of [["file", open], ["detector-file", addDetector]])
    on(id, "change", ({ target }) => {
      if (target.files.length) act(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
  on("add-detector", "click", () => byId("detector-file").click());
  for (const id of ["model", "other", "mode", "merge_gap", "min_length"]) on(id, "change", detectAgain);
  on("threshold", "change", ({ target }) => target.valueAsNumber > 0 && setThreshold(target.valueAsNumber));
  on("budget", "change", ({ target }) =>
    askEvents(target.value ? { false_alarms: target.value } : { threshold: now.result.threshold }),
  );
  on("closer", "click", () => chart.zoom(0.5));
  on("wider", "click", () => chart.zoom(2));
  on("whole", "click", () => chart.show(...chart.whole));
  on("more", "click", () => showMore().catch(fail));
  on("export-marks", "click", () =>
    saveAs(new Blob([now.marks.csv()], { type: "text/csv" }), `${now.file.name.replace(/\.\w+$/, "")}_marks.csv`),
  );
  byId("error").querySelector("button").addEventListener("click", () => (byId("error").hidden = true));
  on("language", "click", () => {
    changeLanguage();
    if (now.about) showStart();
    if (now.result) attempt(showAgain);
  });
  on("key", "submit", (submit) => {
    submit.preventDefault();
    keepKey(new FormData(submit.target).get("key"));
    start();
  });
  listenToDrop();
  addEventListener("keydown", pressed);
}

function listenToDrop() {
  addEventListener("dragover", (drag) => {
    drag.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (drop) => {
    drop.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = drop.dataTransfer.files;
    if (file && now.about) (file.name.endsWith(".onnx") ? addDetector : open)(file);
  });
}

function pressed(press) {
  if (press.ctrlKey || press.metaKey || press.altKey || byId("result").hidden) return;
  if (press.target.closest("input, select, textarea")) return;
  const act = {
    "+": () => chart.zoom(0.5),
    "=": () => chart.zoom(0.5),
    "-": () => chart.zoom(2),
    ArrowLeft: () => chart.move(-0.25),
    ArrowRight: () => chart.move(0.25),
    0: () => chart.show(...chart.whole),
  }[press.key];
  if (!act) return;
  act();
  press.preventDefault();
}

start();
