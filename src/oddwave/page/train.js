// Training in the page: a file of normal rows, channels, a model; the loss as it falls; the detector at once.

import { add, byId, number, percent, saveAs } from "./dom.js";
import { t } from "./words.js";

const ASK_MS = 500;

export class Training {
  #about = null;
  #file = null;
  #id = null;
  #model = null;
  #curve = null;

  /** `on`: source() in use, use(model) of the new detector, fail(error). */
  constructor(on) {
    this.on = on;
    byId("train-pick").addEventListener("click", () => byId("train-input").click());
    byId("train-input").addEventListener("change", ({ target }) => target.files.length && this.#read(target.files[0]));
    byId("train-model").addEventListener("change", () => this.#listSettings());
    byId("train").addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#try(() => this.#start());
    });
    byId("train-cancel").addEventListener("click", () => this.#try(() => on.source().cancelTraining(this.#id)));
    byId("train-use").addEventListener("click", () => on.use(this.#model));
    byId("train-save").addEventListener("click", () =>
      this.#try(async () => saveAs(await on.source().detectorFile(this.#model.name), `${byId("train-name").value}.onnx`)),
    );
  }

  /** Offer what the source can train. */
  open(about) {
    this.#about = about;
    byId("training").hidden = !about;
    if (!about) return;
    byId("train").hidden = !about.allowed;
    byId("train-hint").textContent = about.allowed ? t("train_hint") : about.why;
    const before = byId("train-model").value;
    byId("train-model").replaceChildren();
    for (const { name } of about.models) add(byId("train-model"), "option", name, { value: name });
    if (before) byId("train-model").value = before;
    this.#listSettings();
  }

  /** Take a file that is open already. */
  offer(opened) {
    this.#file = opened;
    byId("train-file").textContent = opened.name;
    byId("train-start").disabled = false;
    const box = byId("train-channels").querySelector(".checks");
    box.replaceChildren();
    byId("train-channels").hidden = false;
    for (const { name } of opened.columns.filter(({ kind }) => kind === "number")) {
      const label = add(box, "label");
      add(label, "input", undefined, { type: "checkbox", value: name }).checked = true;
      add(label, "bdi", name);
    }
  }

  #try(work) {
    return Promise.resolve().then(work).catch(this.on.fail);
  }

  #read(file) {
    byId("train-input").value = "";
    return this.#try(async () => this.offer(await this.on.source().openFile(file)));
  }

  #listSettings() {
    const box = byId("train-settings");
    box.replaceChildren();
    const model = this.#about.models.find(({ name }) => name === byId("train-model").value);
    for (const { name, kind, default: usual, min, max, help } of model?.settings ?? []) {
      const label = add(box, "label", undefined, { title: help ?? "" });
      add(label, "span", name);
      const input = add(label, "input", undefined, { name, "data-kind": kind });
      if (kind === "bool") {
        input.type = "checkbox";
        input.checked = usual;
        continue;
      }
      if (kind === "int" || kind === "float") {
        input.type = "number";
        input.step = kind === "int" ? 1 : "any";
      }
      if (typeof min === "number") input.min = min;
      if (typeof max === "number") input.max = max;
      input.value = usual ?? "";
    }
  }

  #wish() {
    const settings = {};
    for (const input of byId("train-settings").querySelectorAll("input")) {
      if (input.type === "checkbox") settings[input.name] = input.checked;
      else if (input.value !== "") settings[input.name] = input.type === "number" ? input.valueAsNumber : input.value;
    }
    const checks = byId("train-channels").querySelectorAll("input:checked");
    return {
      file: this.#file.file,
      model: byId("train-model").value,
      channels: Array.from(checks, ({ value }) => value),
      settings,
      name: byId("train-name").value,
    };
  }

  async #start() {
    this.#curve?.destroy();
    this.#curve = null;
    byId("train-done").hidden = true;
    byId("train-scores").replaceChildren();
    this.#id = (await this.on.source().train(this.#wish())).training;
    this.#running(true);
    byId("train-state").textContent = t("train_begins");
    try {
      while (this.#show(await this.on.source().training(this.#id))) await new Promise((go) => setTimeout(go, ASK_MS));
    } finally {
      this.#running(false);
    }
  }

  #running(isRunning) {
    byId("train-start").disabled = isRunning;
    byId("train-cancel").hidden = byId("train-progress").hidden = !isRunning;
  }

  /** Show how far it is; true while it runs. */
  #show({ state, epoch, epochs, losses = [], scores, message, model, seconds }) {
    byId("train-progress").value = epochs ? epoch / epochs : 0;
    const last = losses.at(-1);
    const values = { epoch, epochs, loss: number(last?.loss, 4), held_out: number(last?.held_out_loss, 4), seconds: number(seconds, 3) };
    byId("train-state").textContent = {
      running: last ? t("train_running", values) : t("train_begins"),
      done: t("train_finished", values),
      cancelled: t("train_cancelled"),
      failed: message ?? "",
    }[state];
    this.#draw(losses);
    if (state === "done") {
      this.#model = model;
      byId("train-done").hidden = false;
      for (const [name, value] of Object.entries(scores ?? {})) {
        const fact = add(byId("train-scores"), "div");
        add(fact, "dt", name.replaceAll("_", " "));
        add(fact, "dd", typeof value !== "number" ? String(value) : /share|rate/.test(name) ? percent(value) : number(value, 4));
      }
    }
    return state === "running";
  }

  #draw(losses) {
    const box = byId("train-curve");
    box.hidden = byId("train-curve-text").hidden = losses.length < 2;
    if (box.hidden) return;
    box.setAttribute("aria-label", t("train_curve"));
    byId("train-curve-text").textContent = t("train_curve");
    const data = [losses.map((l) => l.epoch), losses.map((l) => l.loss), losses.map((l) => l.held_out_loss)];
    if (this.#curve) return void this.#curve.setData(data);
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.color, grid: { stroke: "#8883", width: 1 }, ticks: { show: false } };
    this.#curve = new uPlot(
      {
        width: box.clientWidth, height: 180, legend: { show: false }, cursor: { show: false },
        scales: { x: { time: false } },
        axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 500, 1000] }, { ...axis, size: 60 }],
        series: [{}, { stroke: "#2f66c4", width: 2 }, { stroke: "#c8331f", width: 2, dash: [6, 4] }],
      },
      data,
      box,
    );
  }
}
