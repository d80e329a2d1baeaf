"""Pictures: any result can be drawn, names are shown as they are, and nothing global is read or changed."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import small
from hypothesis import HealthCheck, example, given, settings, strategies as st
from matplotlib.text import Text
from PIL import Image

from oddwave.chart import chart
from oddwave.errors import MissingExtraError
from oddwave.events import Event
from oddwave.result import Result
from oddwave.save import marks
from oddwave.save.letters import Letters, plainest, shortened
from oddwave.save.png import CHANNELS, Picture
from oddwave.series import Series


def event(start, end, peak=9.0, channels=(("c0", 0.7), ("c1", 0.2))):
    return Event(start, end, float(end - start), start, peak, start, end, end - start + 1, tuple(channels))


def result_of(n_rows=300, channels=3, score=None, reason=None, events=(), ticks=None, **more):
    rng = np.random.default_rng(0)
    score = rng.gamma(1, 0.5, n_rows) if score is None else np.asarray(score, dtype=np.float64)
    reason = np.zeros(n_rows, dtype=np.uint8) if reason is None else np.asarray(reason, dtype=np.uint8)
    score = np.where(reason > 0, np.nan, score)
    label = np.where(reason > 0, -1, score > 6).astype(np.int8)
    names = more.pop("names", [f"c{i}" for i in range(channels)])
    ticks = np.arange(n_rows) if ticks is None else np.asarray(ticks)
    values = more.pop("values", rng.normal(size=(n_rows, len(names))))
    kind, index, source = more.pop("kind", "number"), more.pop("index", ticks), more.pop("source", "in.csv")
    group, time_name = more.pop("group", None), more.pop("time_name", "timestamp")
    series = Series(values, tuple(names), ticks, kind, index, time_name, source, group)
    return Result(series, score, label, reason, list(events), 6.0, "M", "full", **more)


def dates(count, step_s, start="2024-01-01T00:00"):
    """Return ticks, texts and the kind of evenly spaced dates, as fields of a result."""
    ticks = np.datetime64(start, "us").astype(np.int64) + (np.arange(count) * step_s * 1e6).astype(np.int64)
    texts = [str(np.datetime64(tick, "us")) for tick in ticks.tolist()]
    return {"ticks": ticks, "index": np.array(texts, dtype=object), "kind": "datetime"}


def texts_of(result):
    """Return all that is written in a picture."""
    return [text.get_text() for text in Picture(result).figure.findobj(Text) if text.get_text()]


def test_a_picture_is_as_wide_as_a_page_and_holds_the_whole_story(tmp_path):
    score = np.full(300, 0.5)
    score[100:110] = 9
    reason = np.zeros(300)
    reason[:20] = 3
    result = result_of(score=score, reason=reason, events=[event(100, 109)], group="host 1", source="data/in.csv")
    path = result.save_to_png(f"{tmp_path}/")
    assert path == tmp_path / "in_host_1.png"
    with Image.open(path) as image:
        assert (image.format, image.width) == ("PNG", 1872)
        assert round(image.info["dpi"][0]) == 160
    written = texts_of(result)
    for text in [
        "in.csv, host 1", "1 event, 10 of 300 rows anomalous", "M, full scoring, 0 to 299", "threshold 6.00",
        "not scored: warming up (20)", "score", "c0", "70 % mean share in the events", "c1", "20 %", "timestamp",
        "c0 70 %, c1 20 %", "1",
    ]:  # fmt: skip
        assert text in written
    assert "c2" not in written


def test_without_an_anomaly_the_picture_says_so():
    written = texts_of(result_of(score=np.full(300, 0.5)))
    assert "No anomaly found in 300 rows" in written
    assert "event" not in written


def strip_of(result, folder, panel, y):
    """Draw a result; return the colours along a line through a panel, y from 0 to 1, and where a row is on it."""
    axes = Picture(result).figure.axes[panel]
    with Image.open(result.save_to_png(folder / "out.png")) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    height = len(pixels) - 1 - round(axes.transAxes.transform((0, y))[1])
    return pixels[height], lambda row: round(axes.transData.transform((row, 0))[0])


def test_events_and_what_wasnt_scored_are_shaded_in_colours_that_grey_tells_apart(tmp_path):
    reason = np.zeros(300)
    reason[200:260] = 1
    result = result_of(score=np.full(300, 0.5), reason=reason, events=[event(50, 109)])
    colors, at = strip_of(result, tmp_path, 0, 0.7)
    grey = colors.mean(axis=1)
    assert set(grey[at(20) : at(45)]) == {255}
    assert set(grey[at(55) : at(70)]) == set(grey[at(90) : at(105)])
    assert 200 < grey[at(60)] < 230
    striped = grey[at(205) : at(255)]
    assert striped.max() > 235
    assert striped.min() < 200


@pytest.mark.parametrize("rows", [1, 3, 30])
def test_an_event_is_seen_however_short(tmp_path, rows):
    n_rows = 200_000
    score = np.zeros(n_rows)
    score[150_000 : 150_000 + rows] = 9
    result = result_of(n_rows, 2, score, events=[event(150_000, 149_999 + rows)])
    colors, at = strip_of(result, tmp_path, 1, 0.98)
    orange = np.flatnonzero(colors[:, 0] - colors[:, 2] > 40)
    assert 2 <= len(orange) <= 8
    assert abs(orange.mean() - at(150_000)) < 4


def test_no_more_channels_than_have_room_and_those_that_matter():
    names = [f"c{i}" for i in range(200)]
    events = [event(i, i, channels=[(f"c{150 + i}", 0.5), ("c3", 0.4)]) for i in range(10)]
    drawn = Picture(result_of(names=names, events=events))
    assert len(drawn.figure.axes) == 1 + CHANNELS
    assert "c3" in [text.get_text() for text in drawn.figure.findobj(Text)]


@pytest.mark.parametrize(
    "name",
    [
        "$x_1^2$",
        "$\\frac{",
        "100 % \\textbf{x}",
        "温度传感器",
        "ünï ☃ 🦄",
        "\x1b[31m\n\x00",
        "a" * 5000,
        " ",
        "\udce9",
        "{}",
    ],
)
def test_any_name_is_drawn_as_it_is_without_a_warning(tmp_path, name):
    events = [event(0, 4, channels=[(name, 0.9)])]
    result = result_of(names=[name], events=events, source=name, time_name=name, group=name, name="out")
    assert result.save_to_png(f"{tmp_path}/").stat().st_size > 10_000
    assert shortened(Letters().plain(name), 110) in texts_of(result) or len(name) > 110


def test_signs_that_no_font_has_are_written_as_escapes():
    assert Letters().plain("a\U0010fffe\u0378") == "a\\U0010fffe\\u0378"


@pytest.mark.parametrize(
    "result",
    [
        result_of(0, 1),
        result_of(1, 1),
        result_of(2, 1, ticks=[7, 7]),
        result_of(reason=np.full(300, 3)),
        result_of(events=[event(0, 0)]),
        result_of(events=[event(299, 299)]),
        result_of(score=np.full(300, np.inf), events=[event(0, 299, np.inf)]),
        result_of(score=np.full(300, 1e300)),
        result_of(values=np.full((300, 3), np.nan)),
        result_of(values=np.where(np.arange(900).reshape(300, 3) % 2, 1e308, -1e308)),
        result_of(ticks=np.full(300, 2**62)),
        result_of(ticks=np.r_[np.arange(299), 2**62]),
        result_of(ticks=np.r_[-1.7e308, np.arange(298), 1.7e308]),
        result_of(**dates(300, 60)),
        result_of(**dates(300, 0.0001)),
        result_of(**dates(300, 86400 * 400)),
        result_of(**dates(300, 60, "0001-01-01")),
        result_of(**dates(300, 60, "9999-12-31T18:00")),
        result_of(**dates(300, 60, "20000-01-01")),
    ],
    ids=range(19),
)
def test_any_result_can_be_drawn(tmp_path, result):
    with Image.open(result.save_to_png(tmp_path / "out.png")) as image:
        assert image.width == 1872


def test_thousands_of_events_are_drawn_with_the_highest_listed(tmp_path):
    events = [event(10 * i, 10 * i + 1, 7.0 + (i == 1234)) for i in range(2000)]
    result = result_of(20_000, 2, events=events)
    assert result.save_to_png(tmp_path / "out.png").stat().st_size < 250_000
    written = texts_of(result)
    assert "the 6 highest of 2,000 events" in written
    assert "1235" in written


def test_nothing_global_is_read_or_changed(tmp_path):
    result = result_of(events=[event(10, 20)])
    plain = result.save_to_png(tmp_path / "plain.png").read_bytes()
    ugly = {
        "font.family": ["serif"], "font.weight": "bold", "axes.facecolor": "black", "figure.facecolor": "black",
        "text.color": "white", "axes.grid": True, "lines.marker": "x", "savefig.bbox": "tight", "figure.dpi": 30,
        "axes.spines.top": True, "text.usetex": True, "xtick.top": True, "ytick.right": True, "hatch.linewidth": 9,
        "axes.labelcolor": "red", "xtick.labelsize": 30, "timezone": "Asia/Tokyo", "legend.facecolor": "black",
    }  # fmt: skip
    with mpl.rc_context(ugly):
        before = dict(mpl.rcParams)
        assert result.save_to_png(tmp_path / "ugly.png").read_bytes() == plain
        assert dict(mpl.rcParams) == before


def test_drawing_doesnt_load_pyplot(tmp_path):
    code = (
        "import sys, numpy as np\nfrom test_save_png import result_of\n"
        f"sys.modules.pop('matplotlib.pyplot', None)\nresult_of().save_to_png({str(tmp_path / 'out.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=str(small.__file__).rpartition("/")[0]).returncode == 0


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oddwave\[plot\]'"):
        result_of().save_to_png(tmp_path / "out.png")
    assert small.names_in(tmp_path) == []


# marks


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(2, 400),
    st.sampled_from([0.001, 0.25, 1, 7, 60, 900, 3600, 86400, 7 * 86400, 31 * 86400]),
    st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
)
def test_dates_are_marked_in_order_within_the_axis_with_texts_that_differ(count, step, start):
    drawn = chart(result_of(count, 1, **dates(count, step, start.isoformat())), 1000, 1)
    places, texts, common = marks.axis(drawn, drawn.ticks)
    assert len(places) == len(texts) <= 15
    assert all(one < other for one, other in pairwise(places))
    assert all(drawn.ticks[0] <= place <= drawn.ticks[-1] for place in places)
    assert all(one != other for one, other in pairwise(texts))
    assert not common or common in str(drawn.times[0]) or common in str(drawn.times[-1])


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(2, 8))
@example(781250000000.0, 0.0078125, 2)
def test_numbers_are_marked_with_texts_that_tell_them_apart(low, size, count):
    places = marks.spaced(low, low + size, count)
    texts = marks.numbers(places)
    assert len(set(texts)) == len(places) <= count + 2
    for place, text in zip(places, texts, strict=True):
        assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(place, abs=size / 10)


def test_times_that_are_no_usual_dates_are_marked_as_written():
    drawn = chart(result_of(**dates(300, 60, "20000-01-01")), 1000, 1)
    _, texts, _ = marks.axis(drawn, drawn.ticks)
    assert len(texts) == 6
    assert all(text in [shortened(plainest(time), 20) for time in drawn.times] for text in texts)
