"""How fast the page draws a million rows of ten channels, in Chromium: first paint, zoom and pan.

Run it as `python benchmarks/page_speed.py [ROWS]`. First paint is the time from the arrival of the data for the charts to
the frame that shows them; a frame is the time from one picture to the next while keys zoom and move.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from playwright.sync_api import sync_playwright

import oddwave

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from serving import service

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
CHANNELS = 10
REPEATS = 5
PANELS = 7  # the score and six channels
WATCH = """
new MutationObserver(() => {
  if (document.querySelectorAll("#panels figure canvas").length === PANELS && !window.drawnAt)
    requestAnimationFrame(() => requestAnimationFrame(() => (window.drawnAt = performance.now())));
}).observe(document, { childList: true, subtree: true });
""".replace("PANELS", str(PANELS))
FRAMES = """async () => {
  const keys = [..."++++++", ..."→→→→→→", ..."------", ..."+++", ..."←←←", "0"];
  const names = { "→": "ArrowRight", "←": "ArrowLeft" };
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  await frame();
  for (const key of keys) {
    const began = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: names[key] ?? key, bubbles: true }));
    await frame();
    times.push(performance.now() - began);
    for (let i = 0; i < 12; i++) {
      const last = performance.now();
      await frame();
      times.push(performance.now() - last);
    }
  }
  return times;
}"""


def main() -> None:
    with TemporaryDirectory() as folder:
        data = make(Path(folder))
        print(f"{ROWS:,} rows x {CHANNELS} channels, {data.stat().st_size / 1e6:.0f} MB as CSV")
        with service("--model", Path(folder) / "run", "--workers", 1, "--timeout", 120) as started:
            found = [measure(started.url, data) for _ in range(REPEATS)]
    for name in found[0]:
        values = [one[name] for one in found]
        print(f"{name:34} {statistics.median(values):8.1f} ms (from {min(values):.1f} to {max(values):.1f})")


def make(folder: Path) -> Path:
    """Write rows and train a detector for them."""
    random = np.random.default_rng(0)
    values = np.sin(np.arange(ROWS)[:, None] / random.uniform(20, 400, CHANNELS)) + random.normal(
        0, 0.1, (ROWS, CHANNELS)
    )
    values[ROWS // 2 : ROWS // 2 + 50, 3] += 3
    names = [f"channel_{i}" for i in range(CHANNELS)]
    first = pl.DataFrame(values[:20_000], schema=names)
    oddwave.train(first, model="PCA_ad", out=folder / "run")
    path = folder / "long.csv"
    with path.open("w") as file:
        file.write(",".join(["time", *names]) + "\n")
        np.savetxt(file, np.column_stack([np.arange(ROWS), values]), fmt=["%d", *["%.5f"] * CHANNELS], delimiter=",")
    return path


def measure(url: str, data: Path) -> dict[str, float]:
    """Open the page anew, drop the file, zoom and pan."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(300_000)
        page.add_init_script(WATCH)
        page.goto(url)
        page.locator("#start").wait_for()
        began = page.evaluate("performance.now()")
        page.set_input_files("#file", data)
        while not page.evaluate("window.drawnAt"):
            page.wait_for_timeout(50)
        drawn = page.evaluate("window.drawnAt")
        came = page.evaluate(
            "performance.getEntriesByType('resource').find(one => one.name.includes('/view?')).responseEnd"
        )
        page.wait_for_timeout(500)
        frames = sorted(page.evaluate(FRAMES))
        views = page.evaluate(
            "performance.getEntriesByType('resource').filter(one => one.name.includes('/view?')).map(one => one.duration)"
        )
        browser.close()
    return {
        "file picked to first paint": drawn - began,
        "data there to first paint": drawn - came,
        "zoom and pan, median frame": statistics.median(frames),
        "zoom and pan, 99 % of frames": frames[int(0.99 * len(frames))],
        "zoom and pan, longest frame": frames[-1],
        "finer rows asked for, median": statistics.median(views[1:] or [0.0]),
    }


if __name__ == "__main__":
    main()
