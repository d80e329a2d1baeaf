// What the page asks the service.

const KEY = "oddwave-key";

export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** An answer that is no result; `status` is HTTP's, 0 without an answer. */
class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class ServiceSource {
  about() {
    return this.#json("GET", "page/about");
  }

  openFile(file) {
    return this.#json("POST", `page/files?${new URLSearchParams({ name: file.name })}`, file);
  }

  openExample() {
    return this.#json("POST", "page/files?example=1");
  }

  detect({ file, model, mode, settings }) {
    return this.#json("POST", "page/results", JSON.stringify({ file, model, mode, settings }));
  }

  view(result, { first, last, pixels, channels }, signal) {
    const query = new URLSearchParams({ first, last, pixels });
    for (const name of channels) query.append("channel", name);
    return this.#json("GET", `page/results/${result}/view?${query}`, undefined, signal);
  }

  events(result, limit, signal) {
    return this.#json("GET", `page/results/${result}/events?${new URLSearchParams(limit)}`, undefined, signal);
  }

  contributions(result, row) {
    return this.#json("GET", `page/results/${result}/row?row=${row}`);
  }

  download(result, format, { threshold }) {
    return this.#blob(`page/results/${result}/download?${new URLSearchParams({ format, threshold })}`);
  }

  addDetector(file) {
    return this.#json("POST", `page/detectors?${new URLSearchParams({ name: file.name })}`, file);
  }

  /** The bytes of a detector's file. */
  detectorFile(name) {
    const [kind, id] = name.split(":");
    return this.#blob(id ? `page/detectors/${id}` : `page/models/${encodeURIComponent(kind)}`);
  }

  train(wish) {
    return this.#json("POST", "page/trainings", JSON.stringify(wish));
  }

  training(id) {
    return this.#json("GET", `page/trainings/${id}`);
  }

  cancelTraining(id) {
    return this.#json("DELETE", `page/trainings/${id}`);
  }

  close(file) {
    return this.#json("DELETE", `page/files/${file}`);
  }

  async #json(method, url, body, signal) {
    const answer = await this.#ask(method, url, body, signal);
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  }

  async #blob(url) {
    return (await this.#ask("GET", url)).blob();
  }

  async #ask(method, url, body, signal) {
    const headers = {};
    if (method !== "GET") headers["x-oddwave-page"] = "1"; // a form of another site can't send it
    if (typeof body === "string") headers["content-type"] = "application/json";
    else if (body) headers["content-type"] = "application/octet-stream";
    const key = sessionStorage.getItem(KEY);
    if (key) headers["x-api-key"] = key;
    let answer;
    try {
      answer = await fetch(url, { method, headers, body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("", 0);
    }
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    throw new ServiceError(said.errorMsg ?? `${answer.status} ${answer.statusText}`, answer.status);
  }
}
