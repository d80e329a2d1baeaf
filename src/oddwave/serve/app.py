"""App: one request after the other through its route; every answer but the pages has the documented form.

limits -> body -> decode -> Series -> Detector -> Answer
"""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

from oddwave.errors import ConfigError, InputError, nearest
from oddwave.result import Result
from oddwave.serve import limits
from oddwave.serve.answers import Answer, Refused
from oddwave.serve.detectors import Detectors, Served
from oddwave.serve.keys import Keys
from oddwave.serve.origins import Origins, is_preflight, preflight
from oddwave.serve.settings import ServiceSettings
from oddwave.serve.telemetry import Log, Metrics
from oddwave.threads import processors, stay_on

T = TypeVar("T")
INLINE = 1 << 18  # bytes of a body up to which it is worked on at once; larger ones go to a thread
REFRESH_S = 1.0
PROBES = ("/health", "/ready", "/v2/health/live", "/v2/health/ready")
OPEN = frozenset((*PROBES, "/", "/docs", "/openapi.json"))  # they need no key: they tell what every Oddwave tells
OPEN_PAGE = frozenset(("/page/static/{}",))
FAULT = (
    "Something went wrong on our side; nothing is wrong with the request. The service's log says more under this logId."
)


def is_large(body: bytes | bytearray) -> bool:
    """Say whether a body is too large to keep other requests waiting for it."""
    return len(body) > INLINE


@dataclass(slots=True)
class Request:
    """One request on its way.

    Parameters
    ----------
    path
        Segments that the route leaves open, as the model's name.
    facts
        What the log says beside status and time: rows, model.
    """

    app: App
    scope: Any
    headers: Any
    proto: Any
    log_id: str
    began: float
    path: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    lap: float = 0.0

    def stage(self, name: str) -> None:
        """Count the time since the stage before."""
        now = perf_counter()
        self.app.metrics.stage[name].observe(now - self.lap)
        self.lap = now

    def header(self, name: str) -> str:
        """Return a header; empty if it isn't there."""
        value: str = self.headers.get(name) or ""
        return value

    def note(self, result: Result, served: Served) -> None:
        """Count what was scored."""
        anomalous = int((result.label == 1).sum())
        self.app.metrics.scored(served.name, len(result.label), anomalous)
        self.facts |= {"model": served.name, "rows": len(result.label), "anomalous": anomalous}


Handler: TypeAlias = "Callable[[Request], Awaitable[Answer]]"
Work: TypeAlias = "Callable[[Request, bytes | bytearray], Answer]"


@dataclass(frozen=True)
class Route:
    """What answers a method on a path; `{}` in the pattern stands for one segment."""

    method: str
    pattern: str
    handler: Handler


class App:
    """The service's application, in one worker.

    Parameters
    ----------
    routes
        All there are; see `routes.py`.
    """

    def __init__(self, settings: ServiceSettings, detectors: Detectors, routes: list[Route]) -> None:
        self.settings = settings
        self.detectors = detectors
        self.keys = Keys.read(settings.api_key_file) if settings.api_key_file else None
        self.origins = Origins(settings.allow_origins, settings.host)
        self.log = Log(settings.log)
        self.metrics = Metrics([*(route.pattern for route in routes), "unknown"], list(detectors.by_name))
        self.is_ready = True
        self._slots = limits.Slots(settings.slots, limits.HELD_BODIES * settings.max_body)
        self._exact: dict[str, dict[str, Route]] = {}
        self._open: list[tuple[list[str], dict[str, Route]]] = []
        for route in routes:
            self._add(route)
        # where this process may run now: its own processor is for small requests
        self._slow = ThreadPoolExecutor(2, "slow", initializer=stay_on, initargs=(processors(),))

    def _add(self, route: Route) -> None:
        if "{}" not in route.pattern:
            self._exact.setdefault(route.pattern, {})[route.method] = route
            return
        parts = route.pattern.split("/")
        for known, methods in self._open:
            if known == parts:
                methods[route.method] = route
                return
        self._open.append((parts, {route.method: route}))

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request."""
        began = perf_counter()
        request = Request(self, scope, scope.headers, proto, str(uuid4()), began, lap=began)
        name = "unknown"
        self.metrics.in_progress.inc()
        try:
            routes, request.path = self._routes(scope.path)
            name = next(iter(routes.values())).pattern
            answer = await self._answer(request, routes)
        except Refused as refused:
            answer = self._refuse(request, refused)
        except Exception as error:  # noqa: BLE001 (the last place that can still answer)
            self.log.write("fault", logId=request.log_id, error=type(error).__name__, where=_where(error))
            answer = self._refuse(request, Refused(500, FAULT, "fault"))
        finally:
            self.metrics.in_progress.dec()
        headers = [("content-type", answer.content_type), *answer.headers, *self.origins.headers(request.headers)]
        try:
            proto.response_bytes(answer.status, headers, b"" if scope.method == "HEAD" else answer.body)
        except RuntimeError:  # the client is gone
            request.facts["gone"] = True
        self.metrics.answered[name, answer.status // 100].inc()
        self.log.request(request.log_id, name, answer.status, perf_counter() - began, **request.facts)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look for changed detectors; what lives as long as the worker needs no more collecting."""
        gc.collect()
        gc.freeze()
        self._watching = loop.create_task(self._watch())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """End."""
        self._watching.cancel()

    async def work(
        self, request: Request, work: Work, is_slow: Callable[[bytes | bytearray], bool] = is_large
    ) -> Answer:
        """Read the body and work on it, within the limits of size, number and time.

        Parameters
        ----------
        is_slow
            Says of a body whether it is worked on in a thread, so that others aren't kept waiting.
        """
        settings, headers = self.settings, request.headers
        if "content-encoding" in headers and headers.get("content-encoding") != "identity":
            raise Refused(415, "Compressed bodies aren't taken. Send the body as it is.", "encoded")
        n_bytes = limits.declared_bytes(headers, settings.max_body)
        room = settings.max_body if n_bytes is None else n_bytes
        self._slots.take(room)
        running: asyncio.Future[Answer] | None = None
        try:
            body = await limits.read_body(request.proto, headers, n_bytes, settings)
            request.stage("read")
            if not is_slow(body):
                return _answered(work, request, body)
            job = self._slow.submit(_answered, work, request, body)
            running = asyncio.wrap_future(job)
            running.add_done_callback(lambda _: self._slots.give_back(room))
            return await self._in_time(request, job, running)
        finally:
            if running is None:
                self._slots.give_back(room)

    async def aside(self, request: Request, job: Callable[[], T]) -> T:
        """Do something that takes a while in a thread, within the limits of number and time; it has no body."""
        self._slots.take(0)
        submitted = self._slow.submit(_done, job)
        running = asyncio.wrap_future(submitted)
        running.add_done_callback(lambda _: self._slots.give_back(0))
        return await self._in_time(request, submitted, running)

    async def _in_time(self, request: Request, job: Future[T], running: asyncio.Future[T]) -> T:
        """Wait for work in a thread; what takes too long is answered without it, but keeps its slot to its end."""
        left = self.settings.timeout_s - (perf_counter() - request.began)
        try:
            return await asyncio.wait_for(asyncio.shield(running), max(left, 0.0))
        except TimeoutError:
            job.cancel()  # it is left out if it hasn't begun
            message = (
                f"This took longer than {self.settings.timeout_s:g} s. Send fewer rows at a time, or raise --timeout."
            )
            raise Refused(503, message, "slow", (("retry-after", "5"),)) from None

    async def _answer(self, request: Request, routes: dict[str, Route]) -> Answer:
        """Let in what may come in, by its headers alone, and answer it by the route for its method."""
        method, headers = request.scope.method, request.headers
        self.origins.check(headers, request.scope.authority or request.header("host"))
        if is_preflight(method, headers):  # browsers send no key with it
            return preflight(list(routes))
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(routes)
            message = f"{method} isn't taken here. Use {allowed}."
            raise Refused(405, message, "wrong_method", (("allow", allowed),))
        if self.keys is not None and route.pattern not in OPEN | OPEN_PAGE:
            self.keys.check(headers.get("authorization"), headers.get("x-api-key"))
        return await route.handler(request)

    def _routes(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        """Return the routes of a path by their methods, and what stands where the pattern is open."""
        exact = self._exact.get(path)
        return (exact, ()) if exact is not None else self._open_routes(path)

    def _open_routes(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        parts = path.split("/")
        for known, methods in self._open:
            if len(known) == len(parts) and all(a in ("{}", b) for a, b in zip(known, parts, strict=True)):
                return methods, tuple(b for a, b in zip(known, parts, strict=True) if a == "{}")
        meant = nearest(path[:200], self._exact)
        raise Refused(404, f"There is nothing here.{meant} GET /docs says what there is.", "no_route")

    def _refuse(self, request: Request, refused: Refused) -> Answer:
        refused.__traceback__ = None  # its frames hold the body, in a circle that only the collector would break
        self.metrics.rejected[refused.reason].inc()
        request.facts["reason"] = refused.reason
        return refused.answer(request.log_id)

    async def _watch(self) -> None:
        """Load detectors again whose files change."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                changes = await loop.run_in_executor(self._slow, lambda: list(self.detectors.refresh()))
            except Exception as error:  # noqa: BLE001 (what is loaded goes on serving)
                changes = [("detectors", f"failed: {type(error).__name__}")]
            for name, outcome in changes:
                self.metrics.reloads[outcome.partition(":")[0]].inc()
                self.log.write("reload", model=name, outcome=outcome)


def _answered(work: Work, request: Request, body: bytes | bytearray) -> Answer:
    """Work on a body."""
    request.lap = perf_counter()
    return _done(lambda: work(request, body))


def _done(job: Callable[[], T]) -> T:
    """Do something; the user's mistakes become refusals."""
    try:
        return job()
    except InputError as error:
        raise Refused(422, str(error), "bad_data") from None
    except ConfigError as error:
        raise Refused(422, str(error), "bad_settings") from None
    except MemoryError:
        raise Refused(413, "There isn't enough memory for this. Send fewer rows at a time.", "too_large") from None


def _where(error: BaseException) -> list[str]:
    """Say in which lines an error came up; its message may hold what the client sent, so it isn't told."""
    frames = traceback.extract_tb(sys.exc_info()[2] if error is sys.exc_info()[1] else error.__traceback__)
    return [f"{frame.filename.rpartition('oddwave/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-5:]]


def query(request: Request) -> Mapping[str, str]:
    """Return the settings behind the path's question mark.

    Raises
    ------
    Refused
        400, if one is there twice.
    """
    from urllib.parse import parse_qsl

    pairs = parse_qsl(request.scope.query_string, keep_blank_values=True)
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(400, "A setting is in the address twice. Keep one of them.", "bad_request")
    return found
