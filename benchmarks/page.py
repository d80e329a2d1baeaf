"""All benchmarks, or those named, and their tables and a picture as docs/benchmarks.md: make bench."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "pictures" / "benchmarks.png"
SCRIPTS = {
    "speed.py": "Reading, scoring, writing",
    "engine.py": "The models' graphs",
    "training_speed.py": "Training",
    "service.py": "The service under load",
}
HEAD = """\
# Benchmarks

`make bench` measures all of this again, on your machine, in about half an hour, and writes this page. For one detector and your own
file there is [`oddwave bench`](cli.md#commands).

Figures are medians. The machine may do other things meanwhile, so what is compared takes turns in one run. The last column says what
was to be reached, and what PaddleX 3.7.2 took on a machine of the same kind (2 processors, no GPU) when it was measured by itself; with
`PEER_PYTHON=/path/to/python` of an environment that has paddlex, its command takes its turn in the same run.
"""


def main() -> None:
    """Run the benchmarks and write the page."""
    wanted = sys.argv[1:] or list(SCRIPTS)
    found = {}
    for script in wanted:
        print(f"\n## {SCRIPTS[script]}\n", flush=True)
        found[script] = run(script)
    made = f"Made on {time.strftime('%Y-%m-%d')}: {machine()}, Python {platform.python_version()}."
    parts = [HEAD, made]
    if ratios := beside_the_incumbent(found.get("speed.py", "")):
        draw(ratios)
        parts += ["", "![Times as fast as PaddleX](pictures/benchmarks.png)"]
    for script, text in found.items():
        about = (ROOT / "benchmarks" / script).read_text().split('"""')[1].partition("\n\n")[2]
        parts += ["", f"## {SCRIPTS[script]}", "", about.partition("\n\n    ")[0].strip(), "", text.strip()]
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    print(f"\n{PAGE.relative_to(ROOT)} is written.")


def run(script: str) -> str:
    """Run a benchmark, show what it prints as it comes, and return it."""
    lines = []
    with subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / script)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        for line in child.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if child.returncode:
        raise SystemExit(f"{script} ended with {child.returncode}")
    return "".join(lines)


def machine() -> str:
    """Describe the machine."""
    try:
        info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
        names = {key.strip(): value.strip() for key, value in info.items()}
        count = int(names["processor"]) + 1
        return f"{names['model name']}, {count} processors, {names['cache size']} of cache"
    except (OSError, KeyError, ValueError):
        return platform.processor() or platform.machine()


def beside_the_incumbent(table: str) -> dict[str, float]:
    """Return how many times as fast each line is that names the incumbent's figure."""
    ratios = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        theirs = re.search(r"PaddleX ([\d.,]+)", cells[-1])
        ours = re.match(r"([\d.,]+)", cells[1]) if len(cells) == 3 else None
        if theirs and ours:
            a, b = (float(found[1].replace(",", "")) for found in (ours, theirs))
            ratios[cells[0]] = a / b if "rows/s" in cells[1] else b / a
    return ratios


def draw(ratios: dict[str, float]) -> None:
    """Draw the ratios as bars."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    names, values = list(ratios)[::-1], list(ratios.values())[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(names) + 1), layout="constrained")
    bars = axes.barh(names, values, color="#3a6ea5")
    axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(1, 3 * max(values))
    axes.set_xlabel("times as fast as PaddleX 3.7.2")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
