"""The report of a training or an evaluation as a file: what it says, that nothing in it can harm, how large it gets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import msgspec
import numpy as np
import pages
import pytest
from hypothesis import given, strategies as st
from test_save_html import Reader, unpacked

from oddwave import report
from oddwave.check.finding import Finding
from oddwave.errors import OutputError
from oddwave.report import Figure, Loss, Report, Rows, Way, plots

NAMES = [f"sensor_{i}" for i in range(3)]
FAULTS = [(100, 120), (300, 340), (500, 501)]


def about(detector, names=NAMES, **changes):
    """Return the metadata of a detector with other channels."""
    return msgspec.structs.replace(detector.metadata, channels=list(names), scored=[True] * len(names), **changes)


def labelled(count=600, known=((90, 130), (200, 210)), **settings):
    """Return a result whose rows `known` (start, stop) are labelled anomalous."""
    result = pages.result(count, faults=settings.pop("faults", FAULTS), **settings)
    labels = np.zeros(count, dtype=np.int8)
    for start, stop in known:
        labels[start:stop] = 1
    result.series = replace(result.series, labels=labels)
    return result


def whole(detector, names=NAMES, **settings):
    """Return a report with all its parts."""
    values = np.random.default_rng(0).normal(size=(500, len(names)))
    metadata = about(detector, names, settings={"seed": 3}, versions={"oddwave": "0.1"})
    rng = np.random.default_rng(1)
    return Report(
        **{
            "title": "pump.csv", "detector": metadata, "kind": "evaluation", "verdict": "It is <good>.",
            "trained_on": Rows("normal.csv", 500, "2026-01-01", "2026-01-02", (("learned from", 400),)),
            "findings": [Finding("constant", "warning", "It never changes.", "Leave it out.", tuple(names))],
            "channels": report.channels(names, [values], [True] * len(names)),
            "loss": Loss((1.0, 0.5, 0.4), (0.9, 0.6, 0.7), 2, "It was no better for 1 epoch."),
            "ways": [Way("full", "1 in 100 rows", metadata.full.alarm, *rng.exponential(1, (2, 900)))],
            "result": labelled(names=names, channels=len(names)),
            "metrics": {
                "PCA_ad": {"vus_pr": Figure(0.71, 0.6, 0.8), "f1": 0.5}, "random": {"vus_pr": 0.2, "f1": np.nan},
            },
            "limits": ["It is blind to <slow> changes."], "notes": list(names),
        }
        | settings
    )  # fmt: skip


def written(folder, about):
    return report.write(folder / "report.html", about).read_text("utf-8")


def words(page):
    """Return what can be read on a page, without its script and style."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)))


def test_a_report_tells_the_answer_first_and_all_parts_in_words(tmp_path, detector):
    page = written(tmp_path, whole(detector))
    reader = Reader(page)
    assert reader.open == []
    assert reader.texts["verdict"] == "It is <good>."
    titles = [tag for tag, _ in reader.elements].index("h2")
    assert [about.get("id") for _, about in reader.elements].index("verdict") < titles
    text = words(page)
    for said in (
        "Evaluation report", "0.71 (0.60 to 0.80)", "best simple method 0.20 (random)", "1 of 2 were found, 1 missed.",
        "found by event 1", "2 of 3 touch no labelled stretch", "The budget is 1 % of normal rows.",
            "900 other normal rows",
        "It never changes.", "Leave it out.", "Channels: sensor_0, sensor_1, sensor_2 .",
        "The weights after epoch 2 were kept.",
        "It was no better for 1 epoch.", "It is blind to &lt;slow&gt; changes.", "isn't seen", "normal.csv: 500 rows",
        "oddwave predict new.csv --model output --false-alarms",
    ):  # fmt: skip
        assert said in text.replace("&#x27;", "'").replace("&quot;", '"'), said


def test_every_link_of_the_contents_leads_to_a_section_and_no_id_is_there_twice(tmp_path, detector):
    elements = Reader(written(tmp_path, whole(detector))).elements
    ids = [about["id"] for _, about in elements if "id" in about]
    assert len(ids) == len(set(ids))
    links = [about["href"] for tag, about in elements if tag == "a"]
    assert len(links) == 7
    assert {link[1:] for link in links} <= set(ids)
    assert {about["aria-labelledby"] for _, about in elements if "aria-labelledby" in about} <= set(ids)


def test_headers_of_tables_say_what_they_head_and_drawings_say_what_they_show(tmp_path, detector):
    elements = Reader(written(tmp_path, whole(detector))).elements
    assert {about.get("scope") for tag, about in elements if tag == "th"} == {"row", "col"}
    drawings = [about for tag, about in elements if tag == "svg" and about.get("role") == "img"]
    assert len(drawings) == 3
    assert all(about["aria-label"] for about in drawings)


def test_a_report_of_nothing_but_a_title_needs_no_script(tmp_path, detector):
    page = written(tmp_path, Report("pump.csv", detector.metadata))
    assert Reader(page).texts.get("script", "") == ""
    assert "Training report" in words(page)
    assert len(page) < 40_000


def test_of_labelled_stretches_it_is_told_which_event_found_them_after_how_long():
    result = labelled(known=[(90, 130), (200, 210), (300, 340), (338, 345)])
    stretches = report.found.labelled(result)
    assert [(each.first, each.last, each.event, each.delay) for each in stretches] == [
        (90, 129, 1, 10.0), (200, 209, None, None), (300, 344, 2, 0.0),
    ]  # fmt: skip
    assert stretches[0].peak == result.score[90:130].max()


def test_labelled_stretches_are_in_time_order_whatever_the_order_of_the_rows():
    result = labelled(known=[(0, 5)], faults=[(100, 120)])
    result.series = replace(result.series, ticks=result.series.ticks[::-1].copy())
    (stretch,) = report.found.labelled(result)
    assert (stretch.first, stretch.last) == (595, 599)
    assert stretch.peak == result.score[:5].max()


def test_the_chart_s_script_gets_the_labelled_stretches_and_the_rows_of_the_list(tmp_path, detector):
    reader = Reader(written(tmp_path, whole(detector)))
    data = json.loads(reader.texts["data"])
    assert data["labels"] == [[90, 129, True], [200, 209, False]]
    np.testing.assert_array_equal(unpacked(data["rows"]), np.arange(601))
    listed = [about["data-place"] for tag, about in reader.elements if "data-place" in about]
    assert listed == [str(place) for place in range(len(data["events"]))] == ["0", "1", "2"]


@pytest.mark.parametrize(("share", "is_more"), [(0.0, False), (0.3, True)])
def test_more_false_alarms_than_promised_are_called_so(tmp_path, detector, share, is_more):
    alarm = detector.metadata.full.alarm
    scores = np.where(np.arange(1000) % 10 < 10 * share, alarm.threshold + 1, 0.0)
    scores[np.arange(0, 1000, 50)] = np.nan
    way = Way("full", "0.001", alarm, verify=scores, rows_seen=(0.1, 0.2), events_seen=(3.0, 9.0))
    text = words(written(tmp_path, whole(detector, ways=[way])))
    assert ("That is more than promised" in text) == is_more
    assert "980 other normal rows" in text
    assert "(interval 10 % to 20 %)" in text
    assert "(interval 3 to 9)" in text


@given(st.integers(1, 4), st.lists(st.integers(0, 90), min_size=1, max_size=5), st.integers(0, 9))
def test_a_channel_s_line_holds_what_the_whole_series_holds(channels, lengths, seed):
    rng = np.random.default_rng(seed)
    series = [np.where(rng.random((n, channels)) < 0.2, np.nan, rng.normal(size=(n, channels))) for n in lengths]
    rows = np.concatenate(series)
    with np.errstate(invalid="ignore"):
        lines = report.channels([f"c{i}" for i in range(channels)], series, [True] * channels)
    for line, values in zip(lines, rows.T, strict=True):
        known = values[~np.isnan(values)]
        if len(known):
            assert (line.minimum, line.maximum) == (known.min(), known.max())
            assert line.mean == pytest.approx(known.mean())
            assert np.nanmin(line.low) == known.min()
            assert np.nanmax(line.high) == known.max()
        assert line.missing == pytest.approx(1 - len(known) / max(len(values), 1))


@given(st.floats(-1e6, 1e6), st.floats(1, 1e9))
def test_ticks_of_an_axis_are_few_and_on_it(low, width):
    axis = plots.Axis("", low, low + width)
    assert len(axis.ticks) <= 9
    assert all(low - 1e-6 * abs(width) <= tick <= low + width + 1e-6 * abs(width) for tick in axis.ticks)
    assert all(0 <= axis.share(value) <= 1 for value in (low - 1, low, low + width, low + 2 * width))


def test_of_a_thousand_channels_those_that_something_was_said_of_are_listed(tmp_path, detector):
    names = [f"c{i}" for i in range(1000)]
    finding = Finding("constant", "error", "These never change.", "", tuple(names[900:920]))
    values = np.zeros((50, 1000))
    page = written(
        tmp_path,
        whole(
            detector, names, findings=[finding], channels=report.channels(names, [values], [True] * 1000), notes=[],
            result=None,
        ),
    )  # fmt: skip
    table = page[page.index('aria-label="Channels"') :]
    listed = re.findall(r"<bdi>(c\d+)</bdi>", table[: table.index("</table>")])
    assert len(listed) == 30
    assert set(names[900:920]) < set(listed)
    assert "970 more channels are not listed" in page
    assert len(page) < 200_000


def test_fifty_thousand_rows_of_twenty_five_channels_stay_below_400_kilobytes(tmp_path, detector):
    names = [f"channel_{i}" for i in range(25)]
    result = pages.result(50_000, 25, [(at, at + 60) for at in range(500, 49_000, 700)], names=names)
    values = np.random.default_rng(0).normal(size=(50_000, 25))
    channels = report.channels(names, [values], [True] * 25)
    assert len(written(tmp_path, whole(detector, names, result=result, channels=channels))) < 400_000


def test_names_with_markup_add_no_element(tmp_path, detector):
    plain = written(tmp_path, whole(detector, [f"sensor_{i}" for i in range(6)]))
    bad = whole(detector, pages.BAD_NAMES, title=pages.BAD_NAMES[0], run=pages.BAD_NAMES[0])
    reader = Reader(written(tmp_path, bad))
    tags = [tag for tag, _ in reader.elements]
    assert tags == [tag for tag, _ in Reader(plain).elements]
    assert reader.open == []
    assert not any(name.startswith("on") for _, about in reader.elements for name in about)


def test_the_report_asks_for_nothing_outside_and_may_run_its_own_script_only(tmp_path, detector):
    page = written(tmp_path, whole(detector))
    reader = Reader(page)
    links = [about[key] for _, about in reader.elements for key in ("src", "href", "action") if key in about]
    assert [link for link in links if not link.startswith("#")] == ["data:,"]
    assert not any("style" in about for _, about in reader.elements)
    (policy,) = (about["content"] for _, about in reader.elements if about.get("http-equiv"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for name in ("script", "style"):
        digest = hashlib.sha256(reader.texts[name].encode()).digest()
        assert rules[f"{name}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"


def test_the_same_report_gives_the_same_bytes(tmp_path, detector):
    pages_made = [report.write(tmp_path / f"{i}.html", whole(detector)).read_bytes() for i in range(2)]
    assert pages_made[0] == pages_made[1]


def test_a_report_that_can_t_be_written_says_so(tmp_path, detector):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="is not an ordinary file"):
        report.write(tmp_path / "report.html", Report("a", detector.metadata))
