"""The page of the service in a real Chromium, as a person uses it, on a wide and on a narrow screen.

Pictures of what was seen are kept in the folder that ODDWAVE_PICTURES names.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import small
from serving import service

from oddwave import cli
from oddwave.detector import Detector

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = {"wide": (1400, 900), "narrow": (390, 844)}


def missing():
    """Say what the tests of this file lack on this machine."""
    try:
        import axe_playwright_python  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright and axe-playwright-python"
    return "" if CHROMIUM else "Chromium (apt-get install chromium)"


if missing() and not os.environ.get("CI"):
    pytest.skip(f"this needs {missing()}", allow_module_level=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    small.detector(folder / "run")
    small.write(folder / "own.csv", 400, fault=300)
    return folder


@pytest.fixture(scope="module")
def url(place):
    with service("--model", "DLinear_ad", "--model", "PCA_ad", "--model", place / "run", "--workers", 2) as started:
        yield started.url
        assert '"event":"fault"' not in started.errors()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def size(request):
    return request.param


class Seen:
    """A page that a person has open, with what went wrong on it."""

    def __init__(self, page, url, pictures):
        self.page, self.url, self.pictures = page, url, pictures
        self.hosts, self.faults, self.refused = set(), [], []
        page.on("request", lambda one: one.url.startswith("http") and self.hosts.add(one.url.split("/")[2]))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda one: one.type in ("error", "warning") and self.faults.append(one.text))
        page.on("response", lambda one: one.status >= 400 and self.refused.append(one.status))
        page.goto(url)
        page.locator("#start").wait_for()

    def example(self):
        self.page.click("#example")
        self.done()

    def open(self, path):
        self.page.set_input_files("#file", path)
        self.done()

    def done(self):
        """Wait until the page says that it is."""
        self.until(lambda: re.search(r"\d( s\.| 秒)", self.text("#status")))

    def until(self, condition):
        """Wait until something is so; scripts of ours can't be asked to, the page's policy lets none in."""
        for _ in range(500):
            if condition():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"{self.text('#status')} {self.text('#error')}")

    def text(self, selector):
        return self.page.locator(selector).text_content()

    def choose(self, selector, value):
        self.page.select_option(selector, value)
        self.page.wait_for_timeout(50)
        self.done()

    def rows(self):
        return self.page.locator("#events tr")

    def shown(self):
        about = self.page.locator("#charts")
        return float(about.get_attribute("data-from")), float(about.get_attribute("data-to"))

    def picture(self, name):
        if self.pictures:
            self.page.screenshot(path=f"{self.pictures}/{name}.png", full_page=True)

    def download(self, click):
        with self.page.expect_download() as begun:
            click()
        return begun.value.suggested_filename, Path(begun.value.path()).read_bytes()

    def wait_for_events(self, count):
        self.until(lambda: self.rows().count() == count)


@pytest.fixture
def seen(chromium, url, size, request):
    width, height = SIZES[size]
    dark = "dark" if "dark" in request.node.name else "light"
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=dark, locale="en-GB")
    pictures = os.environ.get("ODDWAVE_PICTURES")
    if pictures:
        Path(pictures).mkdir(parents=True, exist_ok=True)
    page = Seen(context.new_page(), url, pictures)
    yield page
    context.close()
    assert page.hosts == {url.removeprefix("http://")}, "nothing is asked of another host"
    assert [fault for fault in page.faults if not (page.refused and "status of 4" in fault)] == []


@pytest.fixture(scope="module")
def wanted(root):
    return Detector.load("DLinear_ad").detect(root / "examples/server_metrics.csv.gz")


def test_the_example_shows_what_python_finds(seen, size, wanted):
    seen.picture(f"start_{size}")
    seen.example()
    verdict = seen.text("#verdict")
    anomalous = f"{(wanted.label == 1).sum():,} of {len(wanted.label):,} rows anomalous"
    assert verdict.startswith(f"{len(wanted.events)} events, {anomalous}. The worst is at ")
    starts = [row.locator(".go").text_content() for row in seen.rows().all()]
    assert starts == [str(event.start) for event in wanted.events]
    channels = [one.text_content() for one in seen.rows().nth(0).locator("bdi").all()]
    assert channels == [name for name, _ in wanted.events[0].channels]
    assert seen.page.locator("#panels figure").count() == 7, "the score and six channels"
    width = seen.page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[size][0], "nothing reaches beyond the screen"
    seen.picture(f"example_{size}")


def test_a_click_on_an_event_zooms_there_and_its_channels_come_first(seen, size, wanted):
    seen.example()
    event = wanted.events[3]
    seen.rows().nth(3).locator(".go").click()
    seen.page.wait_for_timeout(300)
    first, last = seen.shown()
    assert first < event.start_row < event.end_row < last < first + 4 * event.rows
    titles = [one.text_content() for one in seen.page.locator("#panels figcaption").all()]
    for title, (name, _) in zip(titles[1:], event.channels, strict=False):
        assert name in title
    assert seen.rows().nth(3).get_attribute("aria-current") == "true"
    seen.picture(f"event_{size}")
    seen.page.click("#whole")
    assert seen.shown() == (0, len(wanted.label) - 1)


def test_all_can_be_done_with_the_keyboard(seen, wanted):
    seen.page.locator("#example").focus()
    seen.page.keyboard.press("Enter")
    seen.done()
    seen.rows().nth(0).locator(".go").focus()
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_timeout(300)
    first, last = seen.shown()
    assert first <= wanted.events[1].start_row < wanted.events[1].end_row <= last
    seen.page.keyboard.press("+")
    closer = seen.shown()
    assert closer[1] - closer[0] == pytest.approx((last - first) / 2)
    seen.page.keyboard.press("ArrowRight")
    assert seen.shown()[0] > closer[0]
    seen.page.keyboard.press("0")
    assert seen.shown() == (0, len(wanted.label) - 1)


def test_another_threshold_changes_labels_and_events(seen, root):
    seen.example()
    seen.page.fill("#threshold", "6")
    seen.page.press("#threshold", "Enter")
    other = Detector.load("DLinear_ad").detect(root / "examples/server_metrics.csv.gz", threshold=6.0)
    seen.wait_for_events(len(other.events))
    assert f"{(other.label == 1).sum()} of" in seen.text("#verdict")
    seen.page.select_option("#budget", "0.0001")
    strict = Detector.load("DLinear_ad").detect(root / "examples/server_metrics.csv.gz", false_alarms=0.0001)
    seen.until(lambda: float(seen.page.input_value("#threshold")) == pytest.approx(strict.threshold, rel=1e-4))
    assert seen.rows().count() == len(strict.events)
    assert seen.text("#expected") == "About 0.01 % of normal rows are above it."


def test_the_threshold_can_be_dragged(seen):
    seen.example()
    before, events = float(seen.page.input_value("#threshold")), seen.rows().count()
    handle = seen.page.locator(".handle").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen.page.mouse.move(x, y)
    seen.page.mouse.down()
    seen.page.mouse.move(x, y - 30, steps=5)
    seen.page.mouse.up()
    assert float(seen.page.input_value("#threshold")) > before
    seen.until(lambda: seen.rows().count() < events)


def test_a_drag_over_a_chart_zooms(seen, wanted):
    seen.example()
    over = seen.page.locator(".u-over").nth(1)
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    y = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] + 0.25 * box["width"], y)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=5)
    seen.page.mouse.up()
    seen.page.wait_for_timeout(300)
    rows = len(wanted.label)
    assert seen.shown() == (pytest.approx(0.25 * rows, abs=0.02 * rows), pytest.approx(0.5 * rows, abs=0.02 * rows))
    over.dblclick()
    seen.page.wait_for_timeout(300)
    assert seen.shown() == (0, rows - 1)


def test_two_detectors_are_compared(seen, size):
    seen.example()
    seen.choose("#other", "PCA_ad")
    assert seen.page.locator("#comparison").is_visible()
    assert re.search(
        r"\d+ events are found by both; \d+ only by DLinear_ad, \d+ only by PCA_ad", seen.text("#agreement")
    )
    assert seen.page.locator("#panels figure").count() == 8
    seen.picture(f"compared_{size}")


def test_marks_are_kept_and_exported(seen):
    seen.example()
    seen.rows().nth(1).locator(".right").click()
    seen.rows().nth(2).locator(".wrong").click()
    seen.rows().nth(2).locator("input").fill('a pump, "tested"')
    name, body = seen.download(lambda: seen.page.click("#export-marks"))
    assert name == "server_metrics_marks.csv"
    found = list(csv.DictReader(body.decode("utf-8-sig").splitlines()))
    assert [row["verdict"] for row in found] == ["right", "wrong"]
    assert [row["note"] for row in found] == ["", 'a pump, "tested"']
    seen.page.reload()
    seen.page.locator("#start").wait_for()
    seen.example()
    assert seen.rows().nth(1).locator(".right").get_attribute("aria-pressed") == "true", "a reload loses no mark"


def test_the_result_is_saved_in_every_format(seen, wanted):
    seen.example()
    begins = {"CSV": b"timestamp", "XLSX": b"PK", "PNG": b"\x89PNG", "HTML": b"<!doctype", "JSON": b"{"}
    for kind, begin in begins.items():
        button = seen.page.get_by_role("button", name=kind, exact=True)
        name, body = seen.download(button.click)
        assert name == f"server_metrics_anomalies.{kind.lower()}"
        assert body[: len(begin)].lower() == begin.lower()
        if kind == "CSV":
            assert body == wanted.to_csv()


def test_an_own_file_is_scored_by_the_detector_that_knows_its_channels(seen, place):
    seen.open(place / "own.csv")
    assert seen.page.input_value("#model") == "run"
    result = Detector.load(place / "run").detect(place / "own.csv")
    assert seen.rows().count() == len(result.events) > 0
    seen.page.click("#settings summary")
    seen.choose("#mode", "causal")
    past = Detector.load(place / "run").detect(place / "own.csv", scoring="causal")
    seen.wait_for_events(len(past.events))
    seen.page.set_input_files("#detector-file", place / "run" / "detector.onnx")
    seen.until(lambda: seen.page.input_value("#model").startswith("own:"))
    seen.done()
    assert seen.rows().count() > 0


@pytest.mark.parametrize("suffix", ["xlsx", "parquet"])
def test_tables_of_other_kinds_are_taken(seen, place, suffix, tmp_path):
    import polars as pl

    frame = pl.read_csv(place / "own.csv")
    path = tmp_path / f"own.{suffix}"
    frame.write_excel(path) if suffix == "xlsx" else frame.write_parquet(path)
    seen.open(path)
    result = Detector.load(place / "run").detect(place / "own.csv")
    assert seen.rows().count() == len(result.events)


def test_a_file_that_no_detector_knows_says_so(seen, tmp_path, size):
    (tmp_path / "x.csv").write_text("time,a,b\n1,2,3\n2,3,4\n")
    seen.page.set_input_files("#file", tmp_path / "x.csv")
    seen.page.locator("#advice").wait_for()
    assert "Train one below" in seen.text("#advice")
    seen.picture(f"unknown_{size}")


@pytest.mark.parametrize("body", [b"", b"\x00\x01\x02\x03" * 50, b"a,b\n"])
def test_what_is_no_table_is_refused_in_words(seen, tmp_path, body):
    (tmp_path / "x.csv").write_bytes(body)
    seen.page.set_input_files("#file", tmp_path / "x.csv")
    seen.page.locator("#error").wait_for()
    assert "x.csv" in seen.text("#error") or "empty" in seen.text("#error")
    seen.page.locator("#error button").click()
    assert seen.page.locator("#error").is_hidden()


def test_script_in_names_and_cells_is_shown_as_text(seen, place, tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    text = (place / "own.csv").read_text()
    head, _, rest = text.partition("\n")
    rows = [f"{head},{evil}", *(f"{row},{evil}" for row in rest.split()), ""]
    (tmp_path / f"{evil}.csv").write_text("\n".join(rows))
    seen.page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    seen.open(tmp_path / f"{evil}.csv")
    assert evil in seen.text("#file-name")
    assert seen.page.locator("img").count() == 0


def test_dark_mode_follows_the_system_and_the_button(seen, size):
    def brightness():
        colour = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return np.mean([float(one) for one in re.findall(r"[\d.]+", colour)[:3]])

    seen.example()
    assert brightness() < 60
    seen.picture(f"dark_{size}")
    seen.page.click("#theme")
    assert brightness() > 200


def test_the_page_speaks_chinese(seen, size):
    seen.example()
    seen.page.click("#language")
    seen.until(lambda: "异常" in seen.text("#verdict"))
    assert seen.page.locator("html").get_attribute("lang") == "zh-CN"
    seen.until(lambda: "分" in seen.text("#panels figcaption >> nth=0"))
    words = seen.page.locator("main").inner_text()
    assert not re.search(r"\b(Events|Threshold|Save|Duration|Score)\b", words)
    seen.picture(f"chinese_{size}")


def test_a_detector_is_trained_used_and_downloaded(seen, place, size):
    small.write(place / "normal.csv", 400)
    seen.open(place / "own.csv")
    seen.page.click("#training summary >> nth=0")
    seen.page.set_input_files("#train-input", place / "normal.csv")
    seen.until(lambda: seen.text("#train-file") == "normal.csv")
    seen.page.select_option("#train-model", "DLinear_ad")
    seen.page.uncheck("#train-channels input[value=noise]")
    seen.page.click("#train details summary")
    seen.page.fill("#train-settings input[name=epochs]", "3")
    seen.page.fill("#train-settings input[name=input_len]", "24")
    seen.page.fill("#train-name", f"my_{size}")
    seen.picture(f"training_{size}")
    seen.page.click("#train-start")
    seen.until(lambda: seen.text("#train-state").startswith("Epoch") or seen.page.locator("#train-done").is_visible())
    seen.page.locator("#train-done").wait_for(timeout=60_000)
    seen.picture(f"trained_{size}")
    assert seen.text("#train-state").startswith("Done in ")
    assert seen.page.locator("#train-curve canvas").is_visible()
    words = ["train", place / "normal.csv", "--model", "DLinear_ad", "--out", place / f"cli_{size}", "--epochs", 3]
    words += ["--input_len", 24, "-o", "Train.feature_cols=[flow, heat]"]
    assert cli.main([str(word) for word in words]) == 0
    name, body = seen.download(lambda: seen.page.click("#train-save"))
    assert (name, body) == (f"my_{size}.onnx", (place / f"cli_{size}" / "detector.onnx").read_bytes())
    seen.page.click("#train-use")
    seen.until(lambda: seen.page.input_value("#model").startswith("own:"))
    seen.done()
    result = Detector.load(place / f"cli_{size}").detect(place / "own.csv")
    seen.wait_for_events(len(result.events))


def test_a_training_can_be_cancelled(seen, place):
    seen.open(place / "own.csv")
    seen.page.click("#training summary >> nth=0")
    seen.page.select_option("#train-model", "DLinear_ad")
    seen.page.click("#train details summary")
    seen.page.fill("#train-settings input[name=epochs]", "9999")
    seen.page.fill("#train-settings input[name=patience]", "9999")
    seen.page.click("#train-start")
    seen.until(lambda: "Epoch" in seen.text("#train-state"))
    seen.page.click("#train-cancel")
    seen.until(lambda: "Cancelled" in seen.text("#train-state"))
    assert seen.page.locator("#train-start").is_enabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(seen, size, scheme):
    from axe_playwright_python.sync_playwright import Axe

    def serious():
        found = Axe().run(seen.page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in bad]

    assert serious() == []
    seen.example()
    seen.rows().nth(2).locator(".go").click()
    seen.rows().nth(2).locator(".wrong").click()
    seen.page.wait_for_timeout(300)
    assert serious() == []
