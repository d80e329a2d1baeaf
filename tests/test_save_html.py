"""The HTML page as a file: what is inside, that nothing of it is outside, and how large it gets."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pages
import pytest
import small
from hypothesis import example, given, strategies as st

import oddwave
from oddwave.errors import OutputError
from oddwave.result import REASONS
from oddwave.save import html
from oddwave.save.html import to_html

VOID = {"meta", "link", "img"}
NUMBERS = st.lists(st.floats(-1e300, 1e300) | st.just(np.nan), min_size=1, max_size=50)


class Reader(HTMLParser):
    """What a browser would find: all elements with their attributes, and the texts in each."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"</{tag}> closes something else"

    def handle_data(self, text):
        if self.open:
            tag, attributes = self.open[-1]
            name = attributes.get("id") or tag
            self.texts[name] = self.texts.get(name, "") + text


def written(result, folder):
    return to_html(result, f"{folder}/").read_text("utf-8")


def data_of(page):
    return json.loads(Reader(page).texts["data"])


def unpacked(packed):
    """The twin of the page's own `unpack`."""
    if "step" in packed:
        return np.array([packed["first"] + i * packed["step"] for i in range(packed["count"] - 1)] + [packed["last"]])
    values = np.frombuffer(base64.b64decode(packed["base64"]), dtype=f"<f{packed['bytes']}")
    return values.astype(np.float64) + packed["base"]


def test_a_page_is_named_after_the_input_and_holds_what_was_found(detector_folder):
    found = oddwave.detect(small.write("new.csv", 400, fault=200), model="run")
    path = to_html(found, "out/")
    assert path.as_posix() == "out/new.html"
    page = path.read_text("utf-8")
    assert Reader(page).texts["title"] == Reader(page).texts["name"] == "new.csv"
    event = max(found.events, key=lambda event: event.peak_score)
    shown = max(data_of(page)["events"], key=lambda event: event["peak"])
    assert (shown["start"], shown["end"], shown["rows"]) == (str(event.start), str(event.end), event.rows)
    assert (shown["from"], shown["to"], shown["peak"]) == (event.start, event.end, event.peak_score)
    assert shown["channels"] == [list(channel) for channel in event.channels]
    assert shown["channels"][0][0] == "heat"


def test_few_rows_are_drawn_exactly_as_they_are(tmp_path):
    result = pages.result(96, faults=[(50, 60)])
    page = written(result, tmp_path)
    data = data_of(page)
    np.testing.assert_array_equal(unpacked(data["rows"]), np.arange(97))
    np.testing.assert_array_equal(unpacked(data["places"]), [*range(96), 95])
    np.testing.assert_array_equal(unpacked(data["score"]["low"]), result.score)
    assert data["score"]["high"] is None
    for line in data["channels"]:
        np.testing.assert_array_equal(unpacked(line["low"]), result.series.values[:, int(line["name"][-1])])
    assert len(page) < 110_000


@pytest.mark.parametrize("channels", [1, 4, 40])
def test_of_many_rows_the_smallest_and_largest_of_each_group_are_there(tmp_path, channels):
    result = pages.result(60_000, channels, [(at, at + 60) for at in range(500, 59_000, 3000)], [(100, 900, 1)])
    data = data_of(written(result, tmp_path))
    edges = unpacked(data["rows"]).astype(int)
    assert (edges[0], edges[-1]) == (0, 60_000)
    assert len(edges) > 3000
    columns = dict(zip(result.series.channels, result.series.values.T, strict=True))
    assert len(data["channels"]) == min(channels, 16)
    for values, shown in [(result.score, data["score"]), *((columns[each["name"]], each) for each in data["channels"])]:
        np.testing.assert_allclose(unpacked(shown["low"]), np.fmin.reduceat(values, edges[:-1]), rtol=1e-7)
        np.testing.assert_allclose(unpacked(shown["high"]), np.fmax.reduceat(values, edges[:-1]), rtol=1e-7)
    assert "60,000 rows are drawn as" in data["how"]


@given(NUMBERS)
@example([1.7e9, 1.7e9 + 0.25, 1.7e9 + 1])
@example([0.1, 0.2, 0.3])
@example([np.nan, np.nan])
@example([-1e308, 1e308, 1e308])
def test_packed_numbers_come_back_with_seven_digits_of_what_differs(numbers):
    values = np.array(numbers)
    np.testing.assert_array_equal(unpacked(html._packed(values)), values)
    spread = np.nanmax(values) / 2 - np.nanmin(values) / 2 if np.isfinite(values).any() else 0.0
    back = unpacked(html._packed(values, is_short=True))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    error = np.abs(back - values)[~np.isnan(values)]
    assert (error <= 1e-7 * np.abs(values[~np.isnan(values)]) + 1e-45).all()
    assert (error <= 1e-3 * spread + 1e-45).all()


@pytest.mark.parametrize("channels", [1, 25])
def test_a_million_rows_stay_below_a_megabyte(tmp_path, channels):
    texts, ticks = pages.dates(1_000_000, step_s=1)
    faults = [(start, start + 60) for start in range(5000, 990_000, 20_000)]
    result = pages.result(1_000_000, channels, faults, [(0, 95, 3)], texts, ticks, "datetime")
    assert len(written(result, tmp_path)) < 1_000_000


def test_of_thousands_of_events_the_highest_are_listed_and_all_are_shaded(tmp_path):
    result = pages.result(60_000, 3, [(start, start + 3) for start in range(100, 59_900, 20)])
    data = data_of(written(result, tmp_path))
    assert data["events_title"] == "The 1,000 highest of 2,990 events"
    assert len(data["events"]) == 1000
    assert min(event["peak"] for event in data["events"]) >= np.sort([e.peak_score for e in result.events])[-1000]
    assert [event["number"] for event in data["events"]] == sorted(event["number"] for event in data["events"])
    for event in result.events:
        assert any(start <= event.start_row and event.end_row <= stop for start, stop in data["spans"])


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({}, "No anomaly found in 100 rows."),
        ({"unscored": [(0, 100, 4)]}, "No row could be scored."),
        ({"faults": [(50, 51)]}, "1 event, 1 of 100 rows anomalous. It is one row, at 50; its score reached 5.00,"),
        (
            {"faults": [(50, 55), (70, 80)]},
            "2 events, 15 of 100 rows anomalous. The worst is from 70 to 79; its score reached 6.00,",
        ),
    ],
)
def test_the_page_says_in_a_sentence_what_was_found(settings, verdict, tmp_path):
    end = " with a threshold of 3.00." if verdict.endswith(",") else ""
    assert Reader(written(pages.result(100, **settings), tmp_path)).texts["verdict"] == verdict + end


def test_a_page_without_rows_says_so(tmp_path):
    assert Reader(written(pages.result(0), tmp_path)).texts["verdict"] == "No row could be scored."


def test_dates_stay_in_the_zone_that_they_were_written_in(tmp_path):
    texts, ticks = pages.dates(500, hours=5.5, zone="+05:30")
    page = written(pages.result(500, faults=[(100, 156)], index=texts, ticks=ticks, kind="datetime"), tmp_path)
    assert "It began 2026-03-01 05:52:00+05:30 and lasted 55 min;" in Reader(page).texts["verdict"]
    data = data_of(page)
    wall = np.array([text[:19] for text in texts], dtype="datetime64[ms]").astype(np.float64)
    np.testing.assert_array_equal(unpacked(data["places"])[:-1], wall)
    assert (data["zone"], data["precision"]) == ("+05:30", "minute")
    assert data["how"] == "Times in the charts are UTC+05:30."


def test_whole_number_times_beyond_javascript_s_exact_ones_keep_all_digits(tmp_path):
    ticks = 1_700_000_000_000_000_001 + np.arange(200) * 1000
    data = data_of(written(pages.result(200, faults=[(20, 30)], ticks=ticks), tmp_path))
    assert [int(data["base"]) + int(place) for place in unpacked(data["places"])[:-1]] == ticks.tolist()
    assert data["events"][0]["from"] == ticks[20] - ticks[0]


def test_what_was_not_scored_and_what_was_cleaned_is_told(tmp_path):
    result = pages.result(300, unscored=[(0, 20, 3), (100, 130, 1)], notes=["A <note>."], group="rack 1")
    page = written(result, tmp_path)
    data = data_of(page)
    assert data["reasons"] == [f"{REASONS[1]}: 30 of 300 rows", f"{REASONS[3]}: 20 of 300 rows"]
    assert sorted(data["unscored"]) == [[0, 19, REASONS[3]], [100, 129, REASONS[1]]]
    assert data["notes"] == ["A <note>."]
    assert ["Group", "rack 1"] in data["facts"]
    assert Reader(page).texts["title"] == "pump.csv, rack 1"


def test_names_with_markup_add_no_element_to_the_page(tmp_path):
    faults = [(start, start + 4) for start in range(20, 290, 20)]
    plain = written(pages.result(300, 6, faults), tmp_path / "plain")
    bad = pages.result(300, 6, faults, names=pages.BAD_NAMES, group="<i>", notes=pages.BAD_NAMES)
    page = written(bad, tmp_path / "bad")
    assert Reader(page).elements == Reader(plain).elements
    assert Reader(page).open == []
    data = data_of(page)
    shown = {line["name"] for line in data["channels"]}
    assert shown == {name.replace("\x07", "\\x07").replace("\u2028", "\\u2028") for name in pages.BAD_NAMES}
    assert Reader(page).texts["title"] == "pump.csv, <i>"


def test_the_page_asks_for_nothing_outside_and_may_run_its_own_script_only(tmp_path):
    page = written(pages.result(96), tmp_path)
    reader = Reader(page)
    links = [about[name] for _, about in reader.elements for name in ("src", "href", "action", "data") if name in about]
    assert links == ["data:,"]
    (policy,) = (about["content"] for _, about in reader.elements if about.get("http-equiv"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for name in ("script", "style"):
        digest = hashlib.sha256(reader.texts[name].encode()).digest()
        assert rules.pop(f"{name}-src") == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert rules == {}
    assert re.findall(r"@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|\beval\(", page) == []
    assert "Copyright (c) 2022 Leon Sorokin" in reader.texts["script"]
    assert "{{" not in page.replace(reader.texts["script"], "")


def test_a_result_gives_the_same_bytes_each_time(tmp_path):
    for folder in "ab":
        to_html(pages.result(5000, 5, [(100, 120)]), tmp_path / folder)
    assert (tmp_path / "a" / "pump.html").read_bytes() == (tmp_path / "b" / "pump.html").read_bytes()


def test_a_file_name_in_another_encoding_is_shown_with_escapes(tmp_path):
    page = written(pages.result(96, source=os.fsdecode(b"k\xfchl.csv")), tmp_path)
    assert Reader(page).texts["title"] == "k\\udcfchl.csv"


def test_a_page_never_replaces_an_input_nor_takes_another_format_s_name(tmp_path):
    source = tmp_path / "in.html"
    source.write_text("precious")
    result = pages.result(96, source=str(source))
    with pytest.raises(OutputError, match="is an input itself"):
        to_html(result, source)
    with pytest.raises(OutputError, match=r"ends in \.csv, but what is saved there is HTML"):
        to_html(result, tmp_path / "out.csv")
    assert source.read_text() == "precious"
    assert small.names_in(tmp_path) == ["in.html"]
