// What the operator says about events: right or wrong, with a note; kept in this browser, by the file's content.

const LARGEST = 64 * 2 ** 20; // bytes that are hashed; above, name and size stand for the content

/** A name for a file under which its marks are kept. */
export async function keyOf(file, { name, bytes }) {
  if (file && file.size <= LARGEST && crypto.subtle) {
    const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  return `${name}:${bytes}`;
}

export class Marks {
  #list = [];

  constructor(key) {
    this.key = `oddwave-marks:${key}`;
    try {
      this.#list = JSON.parse(localStorage.getItem(this.key)) ?? [];
    } catch {
      // none can be read: begin anew
    }
  }

  get size() {
    return this.#list.length;
  }

  /** The mark on an event. Another threshold moves an event's ends, so a mark holds for what it overlaps. */
  of({ first_row, last_row }) {
    return this.#list.find((mark) => mark.first_row <= last_row && first_row <= mark.last_row);
  }

  /** Mark an event; the same verdict again takes the mark away. */
  set(event, verdict) {
    const mark = this.of(event);
    if (mark?.verdict === verdict) this.#list = this.#list.filter((each) => each !== mark);
    else if (mark) mark.verdict = verdict;
    else {
      const { first_row, last_row, start_text, end_text, peak_score } = event;
      this.#list.push({ first_row, last_row, start_text, end_text, peak_score, verdict, note: "" });
    }
    this.#keep();
  }

  note(event, text) {
    const mark = this.of(event);
    if (mark) mark.note = text;
    this.#keep();
  }

  csv() {
    const columns = ["start_text", "end_text", "first_row", "last_row", "peak_score", "verdict", "note"];
    const inOrder = [...this.#list].sort((a, b) => a.first_row - b.first_row);
    const lines = inOrder.map((mark) => columns.map((name) => cell(mark[name])).join(","));
    return ["start,end,first_row,last_row,peak_score,verdict,note", ...lines, ""].join("\r\n");
  }

  #keep() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.#list));
    } catch {
      // storage is off or full: the marks last as long as the page
    }
  }
}

/** A cell that no spreadsheet takes for a formula. */
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value ?? "") ? `'${value}` : String(value ?? "");
  return `"${text.replaceAll('"', '""')}"`;
}
