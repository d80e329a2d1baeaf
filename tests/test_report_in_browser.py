"""The report in a real Chromium: its chart and list, light and dark, a phone, paper, and no script at all."""

from __future__ import annotations

import base64

import pages
import pytest
import test_page_in_browser
from test_report import FAULTS, labelled, whole

from oddwave import report

browser, page = test_page_in_browser.browser, test_page_in_browser.page
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def path(tmp_path, detector):
    """Return a report with all its parts."""
    return report.write(tmp_path / "report.html", whole(detector))


def test_an_event_chosen_in_the_list_is_zoomed_to_and_one_chosen_in_the_chart_is_marked(page, path):
    page.open(path)
    assert page.range() == (0, 599)
    assert len(page.all("#events tr")) == len(FAULTS)
    page.all("#events tr")[1].click()
    assert 120 < page.range()[0] < 300 < 339 < page.range()[1] < 500
    page.press("0")
    over = page.chart()
    away = test_page_in_browser.offset(over, 110 / 599)
    page.actions().move_to_element_with_offset(over, *away).click().perform()
    assert page.one("#events [aria-selected=true]").get_attribute("data-place") == "0"


def test_the_list_is_walked_through_by_keys(page, path):
    from selenium.webdriver.common.keys import Keys

    page.open(path)
    page.run("document.querySelector('#events tr').focus()")
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert 120 < page.range()[0] < 300 < 339 < page.range()[1] < 500
    page.press(Keys.END)
    assert page.run("return document.activeElement.dataset.place") == "2"


def test_found_and_missed_stretches_have_bars_of_other_colours(page, path):
    page.open(path)
    script = """
      const {ctx, bbox, valToPos} = panels[0].plot;
      const drawn = ctx.getImageData(0, bbox.top + bbox.height - 3, bbox.left + bbox.width, 1).data;
      const colour = (place) => [...drawn.slice(4 * Math.round(place), 4 * Math.round(place) + 4)].join();
      return [110, 205, 400].map((row) => colour(valToPos.call(panels[0].plot, row, "x", true)));
    """
    found, missed, nothing = page.run(script)
    assert len({found, missed, nothing}) == 3


@pytest.mark.parametrize("size", [(360, 740), (1200, 900)])
def test_nothing_is_wider_than_the_screen(page, tmp_path, detector, size):
    bad = whole(detector, pages.BAD_NAMES, title="x" * 200)
    page.open(report.write(tmp_path / "a.html", bad), size=size)
    assert page.run(WIDER) == 0


def test_names_with_markup_stay_text(page, tmp_path, detector):
    bad = pages.BAD_NAMES
    about = whole(detector, bad, title=bad[0], verdict=bad[0], limits=bad, run=bad[0], command=bad[0])
    page.open(report.write(tmp_path / "a.html", about))
    page.all("#events tr")[0].click()
    assert page.driver.title == bad[0]
    assert page.all("img") == []
    assert page.one("#verdict").text == bad[0]


def test_without_javascript_all_but_the_chart_is_there(page, path):
    page.emulate("setScriptExecutionDisabled", value=True)
    try:
        page.open(path, dark=True)
        dark = page.one("body").value_of_css_property("background-color")
        shown = {each.get_attribute("id") for each in page.all("section") if each.is_displayed()}
        drawn = page.all(".plot > svg")
        assert shown == {"metrics", "found", "alarms", "health", "learning", "limits", "repeat"}
        assert len(drawn) == 3
        assert all(each.size["width"] > 200 for each in drawn)
        assert "JavaScript" in page.one("noscript").text
        assert len(page.all("#events tr")) == len(FAULTS)
    finally:
        page.emulate("setScriptExecutionDisabled", value=False)
    page.open(path)
    assert page.one("body").value_of_css_property("background-color") != dark


def test_it_prints_in_light_colours(page, path):
    page.open(path, dark=True)
    page.run("addEventListener('beforeprint', () => document.title = document.documentElement.dataset.theme)")
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert page.driver.title == "light"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_report_of_hardly_any_rows_opens(page, tmp_path, detector, count):
    result = labelled(count, known=[], faults=[])
    page.open(report.write(tmp_path / "a.html", whole(detector, result=result)))
    assert page.one("#found").is_displayed()
