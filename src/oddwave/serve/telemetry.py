"""Telemetry: metrics for Prometheus, shared by all workers, and logs as lines of JSON, without any payload."""

from __future__ import annotations

import os
import select
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

STAGES = ("read", "decode", "parse", "score", "encode")
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
REASONS = (
    "bad_data", "bad_json", "bad_request", "bad_settings", "broken_body", "busy", "encoded", "fault", "no_key",
    "no_model", "no_route", "no_url", "origin", "slow", "slow_body", "too_large", "too_many_columns", "too_many_rows",
    "wrong_method",
)  # fmt: skip
ERRORS = 2  # standard error
LINES_PER_S = 20  # of the log, unless every request is logged


class Metrics:
    """Counters of this worker, in files that all workers share (PROMETHEUS_MULTIPROC_DIR).

    Every series is made at the start, so that a disk that fills up later can't end a worker.
    """

    def __init__(self, routes: list[str], models: list[str]) -> None:
        registry = CollectorRegistry()
        requests = Counter("oddwave_requests", "Requests answered.", ["route", "status"], registry=registry)
        self.answered = {
            (route, kind): requests.labels(route, f"{kind}xx") for route in routes for kind in (2, 3, 4, 5)
        }
        rejected = Counter("oddwave_rejected", "Requests refused.", ["reason"], registry=registry)
        self.rejected = {reason: rejected.labels(reason) for reason in REASONS}
        stage = Histogram("oddwave_stage_seconds", "Time in a stage.", ["stage"], registry=registry, buckets=SECONDS)
        self.stage = {name: stage.labels(name) for name in STAGES}
        self._rows = Counter("oddwave_rows", "Rows scored.", ["model"], registry=registry)
        self._anomalous = Counter("oddwave_anomalous_rows", "Rows labelled anomalous.", ["model"], registry=registry)
        reloads = Counter("oddwave_reloads", "Detectors loaded again.", ["outcome"], registry=registry)
        self.reloads = {outcome: reloads.labels(outcome) for outcome in ("loaded", "failed", "removed")}
        self.in_progress = Gauge(
            "oddwave_requests_in_progress", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self._by_model: dict[str, tuple[Counter, Counter]] = {}
        for model in models:
            self.scored(model, 0, 0)

    def scored(self, model: str, n_rows: int, n_anomalous: int) -> None:
        """Count rows."""
        counters = self._by_model.get(model)
        if counters is None:
            counters = self._by_model[model] = self._rows.labels(model), self._anomalous.labels(model)
        counters[0].inc(n_rows)
        if n_anomalous:
            counters[1].inc(n_anomalous)

    def text(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Log:
    """Lines of JSON on standard error; a disk that is full, or nobody who reads, stops no request.

    Parameters
    ----------
    level
        `errors`: refused and failed requests, at most some lines a second; `all`: every request; `off`: nothing.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._second, self._lines, self._dropped = 0, 0, 0

    def request(self, log_id: str, route: str, status: int, seconds: float, **facts: Any) -> None:
        """Say how a request ended, if the level asks for it."""
        if self.level == "all" or (self.level == "errors" and status >= 400):
            self.write("request", logId=log_id, route=route, status=status, ms=round(1000 * seconds, 3), **facts)

    def write(self, event: str, **facts: Any) -> None:
        """Write one line."""
        if self.level == "off" or (self.level != "all" and self._is_too_much()):
            return
        facts = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
        if self._dropped:
            facts["linesLeftOut"], self._dropped = self._dropped, 0
        try:
            if not select.select((), (ERRORS,), (), 0)[1]:
                raise BlockingIOError
            os.write(ERRORS, msgspec.json.encode(facts)[: select.PIPE_BUF - 1] + b"\n")
        except OSError:
            self._dropped += 1

    def _is_too_much(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > LINES_PER_S:
            self._dropped += 1
            return True
        return False
