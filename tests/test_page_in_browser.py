"""The HTML page in a real Chromium, as a colleague opens it: from a file, without a network."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pages
import pytest
import small

import oddwave
from oddwave.chart import chart
from oddwave.save.html import to_html

COUNT = 600
FAULTS = [(100, 120), (300, 340), (500, 501)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def missing():
    """Say what the tests of this file lack on this machine."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium (pip install selenium)"
    return "" if CHROMIUM and DRIVER else "Chromium and its driver (apt-get install chromium chromium-driver)"


class Page:
    """A browser with one page open, and what tests do with it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, fragment="", dark=False, size=(1200, 900)):
        self.emulate("setEmulatedMedia", features=[feature("prefers-color-scheme", "dark" if dark else "light")])
        width, height = size
        self.emulate("setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.driver.get("about:blank")  # a fragment alone would not load the page again
        self.driver.get_log("performance")
        self.driver.get(path.absolute().as_uri() + fragment)

    def emulate(self, command, **settings):
        return self.driver.execute_cdp_cmd(f"Emulation.{command}", settings)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def range(self):
        about = self.one("#charts")
        return float(about.get_attribute("data-from")), float(about.get_attribute("data-to"))

    def chart(self, number=0):
        """Return the part of a panel that is drawn on, scrolled to the middle."""
        over = self.all(".u-over")[number]
        self.run("arguments[0].scrollIntoView({block: 'center'})", over)
        return over

    def point(self, share, number=0, vertical=0.5):
        """Move the pointer to a share of a panel's width."""
        over = self.chart(number)
        self.actions().move_to_element_with_offset(over, *offset(over, share, vertical)).perform()

    def drag(self, start, stop, number=0):
        over = self.chart(number)
        actions = self.actions().move_to_element_with_offset(over, *offset(over, start)).click_and_hold()
        actions.move_to_element_with_offset(over, *offset(over, stop)).release().perform()

    def press(self, *keys):
        self.actions().send_keys(*keys).perform()

    def actions(self):
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver, duration=20)

    def wait(self, condition):
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 10, poll_frequency=0.05).until(lambda _: self.run(f"return {condition}"))

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def network(self):
        """Return what happened in the network since the last call, as (name, about)."""
        entries = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [(entry["method"], entry["params"]) for entry in entries if entry["method"].startswith("Network.")]

    def requests(self):
        return [about["request"]["url"] for name, about in self.network() if name == "Network.requestWillBeSent"]


def feature(name, value):
    return {"name": name, "value": value}


def offset(element, share, vertical=0.5):
    """Return pixels from an element's middle."""
    width, height = element.size["width"], element.size["height"]
    return round((share - 0.5) * width), round((vertical - 0.5) * height)


@pytest.fixture(scope="session")
def browser():
    if lack := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must open the page, but there is no {lack}")
        pytest.skip(f"needs {lack}")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")  # small in containers
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """Return a page; whatever a test did with it, the browser had nothing to complain of, and asked nobody."""
    page = Page(browser)
    browser.get_log("browser")
    yield page
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("file:", "data:,"))] == []


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Return a page about three events."""
    return to_html(
        pages.result(COUNT, faults=FAULTS, unscored=[(0, 20, 3)]), tmp_path_factory.mktemp("page") / "a.html"
    )


def test_the_page_of_a_real_result_opens_without_complaint_or_request(page, detector_folder):
    found = oddwave.detect(small.write("new.csv", 400, fault=200), model="run")
    path = to_html(found, "out/")
    page.open(path)
    assert page.requests() == [path.absolute().as_uri()]
    assert len(page.all("#events tr")) == len(found.events)
    assert page.range() == (0, 399)
    assert page.all("figcaption .name")[0].text == "Score"


def test_a_drag_over_a_chart_zooms_all_and_reset_shows_everything_again(page, report):
    page.open(report)
    assert page.range() == (0, COUNT - 1)
    page.drag(0.25, 0.5, number=1)
    first, last = page.range()
    assert first == pytest.approx(0.25 * (COUNT - 1), abs=3)
    assert last == pytest.approx(0.5 * (COUNT - 1), abs=3)
    scales = "return panels.map(({plot}) => [plot.scales.x.min, plot.scales.x.max])"
    assert page.run(scales) == [[first, last]] * 4
    assert page.all("#events [aria-selected=true]") == []
    page.one("#reset").click()
    assert page.range() == (0, COUNT - 1)
    assert page.run(scales) == [[0, COUNT - 1]] * 4
    assert not page.one("#reset").is_enabled()


def test_a_click_on_an_event_in_the_list_jumps_there_and_shows_its_channels_first(page, report):
    page.open(report)
    for place, (start, stop) in enumerate(FAULTS):
        row = page.all("#events tr")[place]
        row.click()
        first, last = page.range()
        assert first < start
        assert last > stop - 1
        assert last - first < 5 * (stop - start) + 40
        assert [each.get_attribute("aria-selected") for each in page.all("#events tr")].index("true") == place
        page.press("+", "-")
        assert row.get_attribute("aria-selected") == "true"
        listed = [name.text for name in row.find_elements("css selector", "bdi")]
        assert [name.text for name in page.all("figcaption .name")][1 : len(listed) + 1] == listed


def test_values_of_any_size_are_drawn_and_told(page, tmp_path):
    result = pages.result(100, 4, [(start, start + 4) for start in range(10, 90, 16)])
    sizes = [1.7e308, 1e-300, 5e-324, 2.0**53]
    result.series.values[:] = np.where(np.arange(100) % 7 == 0, -1, 1)[:, None] * np.array(sizes)
    result.series.values[50, :] = np.nan
    page.open(to_html(result, tmp_path / "a.html"))
    page.press("+", "+", "0")
    page.point(42 / 99)
    for panel in page.all("#panels figure")[1:]:
        number = int(panel.find_element("class name", "name").text[-1])
        assert float(panel.find_element("class name", "value").text) == pytest.approx(-sizes[number], rel=1e-4)
    page.point(50 / 99)
    assert [value.text for value in page.all("figcaption .value")[1:]] == ["–"] * 4


def test_channels_of_an_event_that_are_not_drawn_are_named(page, tmp_path):
    result = pages.result(2000, 40, [(start, start + 5) for start in range(20, 1980, 30)])
    page.open(to_html(result, tmp_path / "a.html"))
    drawn = [name.text for name in page.all("figcaption .name")]
    for place in range(0, len(result.events), 20):
        page.all("#events tr")[place].click()
        lacking = [name for name, _ in result.events[place].channels if name not in drawn]
        said = f"Not drawn of event {place + 1}: {', '.join(lacking)}." if lacking else ""
        assert page.one("#undrawn").text == said


def test_rows_that_are_drawn_together_are_no_dots(page, tmp_path):
    page.open(to_html(pages.result(100_000, 1, [(5000, 5040)]), tmp_path / "a.html"), "#from=4800&to=5050")
    dots = page.run(
        "return dots(panels[1].plot, 1, true).map((i) => rows[points.bucket[i] + 1] - rows[points.bucket[i]])"
    )
    assert dots
    assert set(dots) == {1}
    assert len(dots) < page.run("const [first, last] = panels[1].plot.series[0].idxs; return last - first + 1")


def test_a_click_on_an_event_in_a_chart_chooses_it_in_the_list(page, report):
    page.open(report)
    over = page.chart()
    page.actions().move_to_element_with_offset(over, *offset(over, 320 / (COUNT - 1))).click().perform()
    assert page.one("#events [aria-selected=true]").text.startswith("2")
    assert page.range() == (0, COUNT - 1)


def test_events_are_reached_and_chosen_by_keys_alone(page, report):
    from selenium.webdriver.common.keys import Keys

    page.open(report)
    for _ in range(20):
        page.press(Keys.TAB)
        if page.run("return document.activeElement.tagName") == "TR":
            break
    page.press(Keys.ENTER)
    assert page.range()[0] < 100 < 119 < page.range()[1]
    page.press(Keys.ARROW_DOWN, Keys.SPACE)
    assert page.range()[0] < 300 < 339 < page.range()[1] < 500
    page.press(Keys.END)
    assert page.run("return document.activeElement.cells[1].textContent") == "500"
    page.press(Keys.ESCAPE)
    assert page.range() == (0, COUNT - 1)
    assert page.all("#events [aria-selected=true]") == []


def test_keys_zoom_and_move(page, report):
    from selenium.webdriver.common.keys import Keys

    page.open(report)
    page.press("+")
    first, last = page.range()
    assert (first, last) == pytest.approx((0.25 * (COUNT - 1), 0.75 * (COUNT - 1)))
    page.press(Keys.ARROW_RIGHT)
    assert page.range() == pytest.approx((first + 0.25 * (last - first), last + 0.25 * (last - first)))
    page.press(*[Keys.ARROW_LEFT] * 9)
    assert page.range()[0] == 0
    page.press("-")
    assert page.range() == (0, COUNT - 1)
    page.press("+", "+", "0")
    assert page.range() == (0, COUNT - 1)


def test_the_wheel_scrolls_the_page_and_zooms_only_with_ctrl(page, report):
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    page.open(report, size=(1200, 500))
    origin = ScrollOrigin.from_element(page.chart())
    page.actions().scroll_from_origin(origin, 0, 60).perform()
    assert page.range() == (0, COUNT - 1)
    page.actions().key_down(Keys.CONTROL).scroll_from_origin(origin, 0, -200).key_up(Keys.CONTROL).perform()
    first, last = page.range()
    assert 0 < first < last < COUNT - 1


def test_two_fingers_zoom_and_one_moves(page, report):
    page.open(report)
    over = page.chart()
    box = page.run("const b = arguments[0].getBoundingClientRect(); return [b.left, b.top + 20, b.width]", over)

    def touch(kind, *shares):
        points = [{"x": box[0] + share * box[2], "y": box[1], "id": i} for i, share in enumerate(shares)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for shares in ((0.4, 0.6), (0.3, 0.6), (0.3, 0.7), (0.2, 0.7), (0.2, 0.8)):
        touch("touchStart" if shares == (0.4, 0.6) else "touchMove", *shares)
    touch("touchEnd")
    first, last = page.range()
    assert last - first == pytest.approx((COUNT - 1) / 3, rel=0.1)
    assert (first + last) / 2 == pytest.approx((COUNT - 1) / 2, rel=0.05)
    for share in (0.2, 0.4, 0.5):
        touch("touchStart" if share == 0.2 else "touchMove", share)
    touch("touchEnd")
    assert page.range()[0] < first
    assert page.range()[1] - page.range()[0] == pytest.approx(last - first)


def test_the_values_at_the_pointer_are_those_of_the_file(page, tmp_path):
    texts, ticks = pages.dates(96, hours=-3, zone="-03:00")
    result = pages.result(96, faults=[(50, 60)], index=texts, ticks=ticks, kind="datetime")
    page.emulate("setTimezoneOverride", timezoneId="Asia/Tokyo")  # where the reader is
    page.open(to_html(result, tmp_path / "a.html"))
    page.emulate("setTimezoneOverride", timezoneId="")
    for row in (0, 33, 55, 95):
        page.point(min(row / 95, 0.999), number=2)
        assert page.one("#tip").text == f"{texts[row][:16]} -03:00 · row {row}"
        score, *channels = [float(value.text) for value in page.all("figcaption .value")]
        assert score == pytest.approx(result.score[row], rel=1e-5)
        names = [name.text for name in page.all("figcaption .name")][1:]
        values = dict(zip(result.series.channels, result.series.values[row], strict=True))
        assert channels == pytest.approx([values[name] for name in names], rel=1e-5)


@pytest.mark.parametrize(
    ("step_s", "labels"),
    [
        (0.01, ["04:12:00.0\n2026-03-01", "04:12:00.1", "04:12:00.2"]),
        (1, ["04:12:00\n2026-03-01", "04:12:10", "04:12:20"]),
        (60, ["04:20\n2026-03-01", "04:30", "04:40"]),
        (3600, ["12:00\n2026-03-01", "00:00\n2026-03-02", "12:00"]),
        (86_400, ["2026-03-02", "2026-03-16", "2026-03-30"]),
        (86_400 * 12, ["2026-07", "2027-01", "2027-07"]),
        (86_400 * 30, ["2027", "2028"]),
    ],
)
def test_the_axis_has_round_times_by_the_clock_of_the_file(page, tmp_path, step_s, labels):
    texts, ticks = pages.dates(96, step_s)
    path = to_html(pages.result(96, 1, [], [], texts, ticks, "datetime"), tmp_path / "a.html")
    page.open(path, size=(1200, 1200))
    written = [label for label in page.run("return panels[0].plot.axes[0]._values") if label]
    assert written[: len(labels)] == labels


def test_a_row_without_a_score_says_why_at_the_pointer(page, report):
    page.open(report)
    page.point(0.01)
    assert "not scored: warming up" in page.one("#tip").text
    assert page.all("figcaption .value")[0].text == "–"


def colours(page):
    """Return the colour of the ground, and how a chart looks."""
    ground = page.run("return getComputedStyle(document.body).backgroundColor")
    return ground, page.all("#panels figure")[1].screenshot_as_base64


def test_the_page_is_dark_where_the_system_is_and_the_button_changes_it(page, report):
    page.open(report)
    light = colours(page)
    page.open(report, dark=True)
    dark = colours(page)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    page.one("#theme").click()
    assert colours(page) == light


def test_on_paper_the_page_is_light_and_afterwards_as_before(page, report):
    page.open(report, dark=True)
    page.run("addEventListener('beforeprint', () => document.title = document.documentElement.dataset.theme)")
    before = colours(page)
    page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert page.driver.title == "light"
    assert colours(page) == before


def test_the_address_keeps_what_is_shown(page, report):
    page.open(report, fragment="#from=150&to=250.5")
    assert page.range() == (150, 250.5)
    page.press("+")
    page.wait("location.hash.includes('from=175.125')")
    page.press("0")
    page.wait("location.hash === ''")
    for odd in ("#from=a&to=<img>", "#from=-Infinity&to=Infinity", "#from=9&to=8", "#from=-99&to=1e9"):
        page.open(report, fragment=odd)
        assert page.range() == (0, COUNT - 1)


def test_names_with_markup_stay_text(page, tmp_path):
    bad = pages.BAD_NAMES
    result = pages.result(300, 6, [(100, 120), (200, 202)], names=bad, group=bad[0], notes=bad, unscored=[(0, 9, 3)])
    page.open(to_html(result, tmp_path / "a.html"))
    page.all("#events tr")[0].click()
    page.point(0.5)
    escaped = [name.encode("unicode_escape").decode() if "\x07" in name else name for name in bad]
    shown = [name.get_attribute("textContent") for name in page.all("figcaption .name")[1:]]
    assert shown[:3] == [name.get_attribute("textContent") for name in page.all("#events tr:first-child bdi")]
    assert set(shown) < set(escaped)
    assert [note.get_attribute("textContent") for note in page.all("#notes li")] == escaped
    assert page.all("img, body b:not(#events b):not(#map b)") == []
    assert page.driver.title == f"pump.csv, {bad[0]}"


@pytest.mark.parametrize(
    "settings",
    [
        {"count": 0},
        {"count": 1},
        {"count": 1, "faults": [(0, 1)]},
        {"count": 2},
        {"count": 50, "unscored": [(0, 50, 4)]},
        {"count": 200, "ticks": np.repeat(7, 200), "faults": [(20, 30)]},
        {"count": 300, "ticks": np.concatenate([np.arange(150), 10**6 + np.arange(150)]), "faults": [(20, 30)]},
        {"count": 300, "ticks": 1_700_000_000_000_000_001 + np.arange(300), "faults": [(20, 30)]},
        {"count": 300, "ticks": np.arange(300) / 10, "faults": [(20, 30)]},
        {"count": 1, "ticks": pages.dates(1)[1], "index": pages.dates(1)[0], "kind": "datetime"},
        {"count": 300, "kind": "row", "faults": [(20, 30)]},
    ],
    ids=[
        "no row",
        "one row",
        "one event",
        "two rows",
        "no score",
        "one time",
        "holes",
        "long times",
        "decimal times",
        "one date",
        "no time",
    ],
)
def test_an_unusual_result_opens_and_takes_keys(page, tmp_path, settings):
    result = pages.result(**settings)
    channels = chart(result, 100, 100).channels
    page.open(to_html(result, tmp_path / "a.html"))
    for row in page.all("#events tr"):
        row.click()
    page.press("+", "+", "+", "-", "0")
    if page.all(".u-over"):
        page.point(0.3)
    assert page.one("#verdict").text != ""
    assert len(page.all(".u-over")) == (1 + len(channels) if settings["count"] else 0)


def test_on_a_phone_nothing_is_wider_than_the_screen(page, tmp_path):
    texts, ticks = pages.dates(500, zone="+00:00")
    result = pages.result(500, 6, FAULTS[:2], [], texts, ticks, "datetime", names=pages.BAD_NAMES, source="x" * 200)
    page.open(to_html(result, tmp_path / "a.html"), size=(360, 740))
    assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert max(over.size["width"] for over in page.all(".u-over")) > 220


def test_a_million_rows_and_hundreds_of_events_open_and_zoom(page, tmp_path):
    texts, ticks = pages.dates(1_000_000, step_s=1)
    faults = [(start, start + 60) for start in range(5000, 990_000, 2500)]
    result = pages.result(1_000_000, 25, faults, [], texts, ticks, "datetime")
    page.open(to_html(result, tmp_path / "a.html"))
    assert len(page.all("#events tr")) == len(result.events) == len(faults)
    row = page.all("#events tr")[200]
    row.click()
    first, last = page.range()
    at = ticks[faults[200][0]] / 1000
    assert first < at < at + 59_000 < last < first + 600_000


def test_the_policy_would_stop_and_report_a_request(page, report):
    page.open(report)
    page.run("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/pixel.png'}))")
    (complaint,) = page.complaints()
    assert "Content Security Policy" in complaint
    (failed,) = (about for name, about in page.network() if name == "Network.loadingFailed")
    assert failed["blockedReason"] == "csp"
