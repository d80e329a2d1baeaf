"""A fault of one sensor among 25: every shipped detector finds it, and names the right channel first."""

from __future__ import annotations

import numpy as np
import pytest

import oddwave
from oddwave import read
from oddwave.detector import shipped

BEGIN, STOP = 300, 360
REACH = 96 + 31  # rows of a window and of the smoothing
CHANNELS = (0, 4, 9, 13, 18, 22)


@pytest.fixture(scope="module")
def normal(root):
    """Return the last rows that the detectors were calibrated on, and the deviation of each channel."""
    values = next(iter(read.read(root / "examples" / "server_metrics_normal.csv.gz"))).values
    return values[-680:], values.std(axis=0)


def spike(z):
    z[BEGIN : BEGIN + 3] += 20


def level(z):
    z[BEGIN:STOP] += 10


def drift(z):
    z[BEGIN:STOP] -= np.linspace(0, 15, STOP - BEGIN)


def noise(z):
    z[BEGIN:STOP] += 5 * np.random.default_rng(0).standard_normal(STOP - BEGIN)


@pytest.fixture(scope="module", params=shipped())
def detector(request):
    return oddwave.load(request.param)


def test_the_rows_without_a_fault_hold_no_event(detector, normal):
    assert detector.detect(normal[0]).events == []


@pytest.mark.parametrize("fault", [spike, level, drift, noise], ids=lambda fault: fault.__name__)
def test_a_fault_of_one_sensor_is_found_and_its_channel_named_first(detector, normal, fault):
    rows, deviation = normal
    for channel in CHANNELS:
        z = rows[:, channel] / deviation[channel]
        fault(z)
        broken = rows.copy()
        broken[:, channel] = z * deviation[channel]
        found = detector.detect(broken).events
        assert found, f"nothing found in channel {channel}"
        assert all(BEGIN - REACH < event.start_row <= event.end_row < STOP + REACH for event in found)
        worst = max(found, key=lambda event: event.peak_score)
        assert worst.channels[0][0] == f"feature_{channel}"
        assert worst.channels[0][1] > 0.3
