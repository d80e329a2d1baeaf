"""The service when something breaks: workers, signals, detector files, file descriptors, disk and port."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import made
import pytest
import small
import test_detector_file as odd
from serving import PATIENCE_S, SRC, ask, connected, head, received, service

import oddwave

ROUTE = "/time-series-anomaly-detection"
CLIENTS = 4
LOST = "lost"

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in Linux's /proc")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("data") / "good.csv", 60, fault=40)


@pytest.fixture(scope="module")
def body(good):
    return json.dumps({"csv": base64.b64encode(good.read_bytes()).decode()}).encode()


@pytest.fixture
def run(tmp_path):
    return small.detector(tmp_path / "run")


class Load:
    """Clients that ask one request after the other, each on a new connection."""

    def __init__(self, url, body):
        self.url, self.body = url, body
        self.counts = Counter()
        self.answers = Counter()
        self._is_over = threading.Event()
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self):
        while not self._is_over.is_set():
            try:
                reply = ask(self.url, ROUTE, self.body)
            except (OSError, HTTPException):
                self.counts[LOST] += 1
                self._is_over.wait(0.1)  # for some ms the port of a dead worker still takes connections
            else:
                self.counts[reply.status] += 1
                if reply.status == 200:
                    self.answers[reply.json["result"]["csv"]] += 1

    def __enter__(self):
        for client in self._clients:
            client.start()
        self.goes_on()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for client in self._clients:
            client.join()

    def goes_on(self, count=20):
        """Wait for so many more good answers."""
        wanted = self.counts[200] + count
        eventually(lambda: self.counts[200] >= wanted)


def eventually(holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def workers(process):
    """Return the process ids of a service's workers."""
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def metrics(url):
    """Return the metrics by name with labels."""
    lines = ask(url, "/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def refuses(url):
    """Say whether nobody listens there any more."""
    try:
        connected(url).close()
    except ConnectionRefusedError:
        return True
    return False


# Workers


def test_a_worker_that_is_killed_is_started_again_and_only_requests_in_flight_are_lost(run, body):
    with service("--model", run, "--workers", 2, "--drain", 0) as started:
        with Load(started.url, body) as load:
            first = set(workers(started.process))
            before = metrics(started.url)
            os.kill(min(first), signal.SIGKILL)
            load.goes_on()
            os.kill(max(first), signal.SIGKILL)  # well within two seconds
            eventually(lambda: len(set(workers(started.process)) - first) == 2)
            eventually(lambda: started.errors().count("died (signal 9)") == 2)
            second = set(workers(started.process))
            load.goes_on(50)
        assert set(load.counts) <= {200, LOST}
        # the second was killed when the first was back or not yet: only then is there nobody to connect to
        assert len(load.answers) == 1
        assert second == set(workers(started.process))
        after = metrics(started.url)
        assert [name for name, value in before.items() if after[name] < value and "in_progress" not in name] == []
        assert after["oddwave_requests_in_progress"] == 1  # this one
        # each of the killed may have answered a last request without counting it
        assert after['oddwave_requests_total{route="' + ROUTE + '",status="2xx"}'] >= load.counts[200] - 2


def test_with_one_of_two_workers_killed_at_most_one_request_a_client_is_lost(run, body):
    with service("--model", run, "--workers", 2, "--drain", 0) as started, Load(started.url, body) as load:
        first = set(workers(started.process))
        os.kill(min(first), signal.SIGKILL)
        eventually(lambda: len(set(workers(started.process)) - first) == 1)
        load.goes_on(50)
        assert load.counts[LOST] <= CLIENTS
        assert set(load.counts) <= {200, LOST}


def test_a_worker_that_cant_start_is_tried_again_until_its_detector_is_good(run, body):
    path, new = run / "detector.onnx", run / "new"
    good = path.read_bytes()
    with service("--model", run, "--workers", 2, "--drain", 0) as started, Load(started.url, body) as load:
        first = set(workers(started.process))
        new.write_bytes(b"garbage")
        new.rename(path)
        os.kill(min(first), signal.SIGKILL)
        eventually(lambda: "can't be started" in started.errors())
        load.goes_on(200)  # by the other one
        assert max(first) in workers(started.process)
        new.write_bytes(good)
        new.rename(path)
        eventually(lambda: "serves again" in started.errors())
        assert len(set(workers(started.process)) - first) == 1
        load.goes_on(50)
        assert set(load.counts) <= {200, LOST}
        assert load.counts[LOST] <= CLIENTS
        died, hindered, back = re.findall(r"^oddwave: (worker .*)$", started.errors(), re.MULTILINE)
        name, _, _ = died.partition(" died (signal 9)")
        assert hindered.startswith(f"{name} can't be started: {path} is not a usable detector: ")
        assert hindered.endswith("It is tried until it starts")
        assert back == f"{name} serves again"


def test_metrics_are_summed_over_the_workers(run, body):
    with service("--model", run, "--workers", 2, "--drain", 0) as started:
        for _ in range(20):
            assert ask(started.url, ROUTE, body).status == 200
        for _ in range(7):
            assert ask(started.url, ROUTE, b"{").status == 400
        for _ in range(3):
            assert ask(started.url, "/v1/detect", b"{}").status == 422
        assert ask(started.url, "/nothing").status == 404
        assert ask(started.url, ROUTE, headers={"Origin": "null"}, method="POST").status == 403
        found = metrics(started.url)
        count = {
            (route, status): found[f'oddwave_requests_total{{route="{route}",status="{status}xx"}}']
            for route in (ROUTE, "/v1/detect", "unknown")
            for status in (2, 4, 5)
        }
        assert count == {
            (ROUTE, 2): 20, (ROUTE, 4): 8, (ROUTE, 5): 0, ("/v1/detect", 2): 0, ("/v1/detect", 4): 3,
            ("/v1/detect", 5): 0, ("unknown", 2): 0, ("unknown", 4): 1, ("unknown", 5): 0,
        }  # fmt: skip
        reasons = {name: value for name, value in found.items() if "rejected_total" in name and value}
        assert reasons == {
            f'oddwave_rejected_total{{reason="{reason}"}}': number
            for reason, number in {"bad_json": 7, "bad_request": 3, "no_route": 1, "origin": 1}.items()
        }
        for stage, number in {"read": 30, "decode": 23, "parse": 20, "score": 20, "encode": 20}.items():
            assert found[f'oddwave_stage_seconds_count{{stage="{stage}"}}'] == number
        assert found['oddwave_rows_total{model="run"}'] == 20 * 60
        assert found['oddwave_anomalous_rows_total{model="run"}'] > 0


# Signals


def test_sigterm_ends_the_requests_in_flight_and_then_the_service(run, body):
    with service("--model", run, "--workers", 2, "--drain", 2) as started, connected(started.url) as slow:
        slow.sendall(head(ROUTE, f"Content-Length: {len(body)}") + body[:100])
        with Load(started.url, body) as load:
            started.process.send_signal(signal.SIGTERM)
            eventually(lambda: ask(started.url, "/ready").status == 503)
            load.goes_on(5)  # who doesn't know yet is still answered
        assert list(load.counts) == [200]
        assert ask(started.url, "/ready").refusal() == "The service is stopping."
        assert ask(started.url, "/health").status == 200
        eventually(lambda: refuses(started.url))
        slow.sendall(body[100:])
        assert received(slow).json["errorCode"] == 0
        assert started.process.wait(PATIENCE_S) == 0
        assert started.errors().count("\n") <= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_with_status_0_and_frees_the_port(run, number):
    with service("--model", run, "--workers", 2, "--drain", 0) as started:
        pids = workers(started.process)
        started.process.send_signal(number)
        assert started.process.wait(PATIENCE_S) == 0
        assert refuses(started.url)
        assert not any(map(is_alive, pids))
        assert "Traceback" not in started.errors()


def test_a_second_signal_doesnt_wait(run):
    with service("--model", run, "--workers", 1, "--drain", 1000) as started:
        started.process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(started.url, "/ready").status == 503)
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0


def test_workers_end_when_their_parent_is_killed(run):
    with service("--model", run, "--workers", 2) as started:
        pids = workers(started.process)
        assert len(pids) == 2
        started.process.kill()
        eventually(lambda: not any(map(is_alive, pids)))
        assert refuses(started.url)


# Detector files


def other_detector():
    """Return a detector that labels otherwise."""
    from oddwave.train import train

    with tempfile.TemporaryDirectory() as folder:
        source = small.write(f"{folder}/normal.csv", 2000)
        return train(source, model="ZScore_ad", smoothing=5, rolling=9).data


def test_a_detector_is_exchanged_without_a_failed_request_and_garbage_leaves_the_old_one(run, body, good):
    path, new = run / "detector.onnx", run / "new"
    with service("--model", run, "--workers", 2, "--drain", 0) as started, Load(started.url, body) as load:
        reloads = f'{started.url} oddwave_reloads_total{{outcome="%s"}}'.split(" ", 1)[1]
        old = base64.b64encode(oddwave.load(run).detect(good).to_csv()).decode()
        new.write_bytes(other_detector())
        new.rename(path)
        eventually(lambda: metrics(started.url)[reloads % "loaded"] == 2)
        load.answers.clear()
        load.goes_on()
        fresh = base64.b64encode(oddwave.load(run).detect(good).to_csv()).decode()
        assert old != fresh
        eventually(lambda: load.answers[fresh] > 20)
        new.write_bytes(b"garbage")
        new.rename(path)
        eventually(lambda: metrics(started.url)[reloads % "failed"] == 2)
        assert re.search(r'"event":"reload","model":"run","outcome":"failed: [^"]*detector', started.errors())
        load.answers.clear()
        load.goes_on()
        assert list(load.answers) == [fresh]
        assert list(load.counts) == [200]


def test_detectors_come_and_go_in_a_folder(tmp_path):
    folder = tmp_path / "detectors"
    small.detector(folder / "pump")
    with service("--model", folder, "--workers", 1, "--drain", 0) as started:
        (folder / "hand.onnx").write_bytes(made.handmade().data)
        eventually(lambda: ask(started.url, "/ready").json["models"] == ["pump", "hand"])
        assert ask(started.url, "/v1/models").json["default"] == "pump"
        (folder / "hand.onnx").unlink()
        eventually(lambda: ask(started.url, "/ready").json["models"] == ["pump"])
        assert ask(started.url, "/v2/models/hand/ready").status == 404


def serve(*flags, **options):
    """Run a service that can't start; return its status and what it said."""
    words = [sys.executable, "-m", "oddwave", "serve", "--port", "0", "--workers", "2", *map(str, flags)]
    env = os.environ | {"PYTHONPATH": str(SRC)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=PATIENCE_S, **options)
    assert (done.stdout, "Traceback" in done.stderr) == ("", False), done.stderr
    return done.returncode, done.stderr


class Pickled:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def unusable():
    import pickle

    flipped = bytearray(odd.DATA)
    flipped[len(flipped) // 2] ^= 4
    return {
        "truncated": (odd.DATA[:-100], "is not a usable detector"),
        "empty": (b"", "is not a usable detector"),
        "a flipped bit": (bytes(flipped), "checksum"),
        "a pickle": (pickle.dumps(Pickled()), "is not a usable detector"),
        "external data": (odd.with_graph(odd.UNSAFE["external data"][0]), "a tensor has field 13"),
        "a custom operator": (odd.with_graph(odd.UNSAFE["a custom domain"][0]), "custom operators (evil)"),
        "a newer format": (odd.with_metadata(odd.plain(format=2)), "Upgrade Oddwave"),
    }


@pytest.mark.parametrize("what", unusable())
def test_a_detector_that_cant_be_used_is_refused_before_anything_is_served(tmp_path, what):
    data, reason = unusable()[what]
    (tmp_path / "pump.onnx").write_bytes(data)
    status, said = serve("--model", "pump.onnx", cwd=tmp_path)
    assert status == 2
    assert said.startswith("oddwave: pump.onnx ")
    assert said.count("pump.onnx") == 1  # one message, though there are two workers
    assert reason in said
    assert small.names_in(tmp_path) == ["pump.onnx"]


def test_sources_without_or_with_twin_detectors_are_refused(tmp_path, run):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "run.onnx").write_bytes(made.handmade().data)
    for flags, reason in (
        (["--model", "DLinear_add"], "Did you mean DLinear_ad?"),
        (["--model", tmp_path / "empty"], "no detector was found"),
        (["--model", run, "--model", tmp_path / "twin"], "Two detectors are called run"),
    ):
        status, said = serve(*flags)
        assert (status, reason in said) == (2, True), said


# What runs out


def test_a_second_service_on_the_port_is_refused(run):
    with service("--model", run, "--workers", 1, "--drain", 0) as started:
        port = started.url.rsplit(":", 1)[1]
        status, said = serve("--model", run, "--port", port)
        assert status == 2
        assert f"can't listen on 127.0.0.1, port {port}: Address already in use. Another program listens there" in said
        assert ask(started.url, "/health").status == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "no.invalid"])
def test_a_host_that_isnt_ours_is_refused(run, host):
    status, said = serve("--model", run, "--host", host)
    assert (status, f"can't listen on {host}" in said) == (2, True), said


def test_with_few_file_descriptors_the_service_goes_on_when_connections_end(run, body):
    flags = ("--model", run, "--workers", 1, "--timeout", 1, "--drain", 0)
    with service(*flags, command=("prlimit", "--nofile=64")) as started:
        idle = [connected(started.url) for _ in range(100)]
        for connection in idle:
            connection.close()
        for _ in range(100):
            assert ask(started.url, ROUTE, body).status == 200
        idle = [connected(started.url) for _ in range(100)]
        assert ask(started.url, ROUTE, body).status == 200  # when the deadline has closed some of them
        for connection in idle:
            connection.close()
        assert len(workers(started.process)) == 1
        assert "died" not in started.errors()


def let_files_grow(service, to):
    """Let files of a service and of those that it starts grow to so many bytes, or no more than they have."""
    for pid in [service.process.pid, *workers(service.process)]:
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (to, most))


def test_when_files_cant_grow_requests_are_answered_and_a_dead_worker_is_started_when_they_can(run, body):
    with service("--model", run, "--workers", 2, "--log", "all", "--drain", 0) as started:
        let_files_grow(started, 0)
        for _ in range(50):
            assert ask(started.url, ROUTE, body).status == 200
            assert ask(started.url, ROUTE, b"{").status == 400
        found = metrics(started.url)
        assert found[f'oddwave_requests_total{{route="{ROUTE}",status="2xx"}}'] == 50
        assert found['oddwave_rejected_total{reason="bad_json"}'] == 50
        assert started.errors().count("\n") == 1  # that it is ready
        killed, other = workers(started.process)
        os.kill(killed, signal.SIGKILL)
        seen = {killed, other}
        eventually(lambda: seen.update(workers(started.process)) or len(seen) > 3)  # two vain attempts
        assert ask(started.url, ROUTE, body).status == 200
        let_files_grow(started, resource.RLIM_INFINITY)
        eventually(lambda: "serves again" in started.errors())
        assert other in workers(started.process)
        assert ask(started.url, "/nothing").json["logId"] in started.errors()
        eventually(lambda: ask(started.url, "/nothing").status == 404 and "linesLeftOut" in started.errors())
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0


def test_counting_takes_no_more_of_a_disk_than_at_the_start(run, body, tmp_path, monkeypatch):
    """Or a worker would die of a full disk: the counters are pages of files in its memory."""
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "disk"))
    with service("--model", run, "--workers", 1, "--drain", 0) as started:
        files = list((tmp_path / "disk").glob("*/*.db"))
        before = [file.read_bytes()[:4] for file in files]  # how many bytes are in use
        assert ask(started.url, ROUTE, body).status == 200
        for path in (ROUTE, "/v1/detect", "/v2/models/none/infer", "/nothing", "/health"):
            assert 400 <= ask(started.url, path, b"{").status < 500
        assert ask(started.url, "/metrics").status == 200
        assert len(files) == 3
        assert [file.read_bytes()[:4] for file in files] == before
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("most", [0, 1 << 15])
def test_without_room_for_the_counters_nothing_is_served_and_it_says_why(run, most):
    limit = (resource.RLIMIT_FSIZE, (most, most))
    status, said = serve("--model", run, preexec_fn=lambda: resource.setrlimit(*limit))
    assert (status, "make room there, or name another folder in TMPDIR" in said) == (2, True), said


def test_a_log_on_a_full_device_stops_nothing(run, body):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "oddwave", "serve", "--port", str(port), "--workers", "1", "--log", "all"]
    env, url = os.environ | {"PYTHONPATH": str(SRC)}, f"http://127.0.0.1:{port}"
    words += ["--drain", "0", "--model", str(run)]
    with Path("/dev/full").open("w") as full, subprocess.Popen(words, env=env, stderr=full) as process:
        eventually(lambda: not refuses(url))
        assert ask(url, ROUTE, body).status == 200
        (killed,) = workers(process)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: set(workers(process)) - {killed} and not refuses(url))
        assert ask(url, ROUTE, b"{").status == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


@contextmanager
def small_disk(tmp_path, monkeypatch, size):
    """Make temporary files go to a disk of their own."""
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path]).returncode:
        pytest.skip("only root may mount a small disk; what can be had without one is tested above")
    try:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


def test_a_disk_that_fills_up_stops_no_request(tmp_path_factory, monkeypatch, body):
    run = small.detector(tmp_path_factory.mktemp("elsewhere") / "run")
    with (
        small_disk(tmp_path_factory.mktemp("disk"), monkeypatch, "16m") as disk,
        service("--model", run, "--workers", 2, "--log", "all", "--drain", 0) as started,
    ):
        fill(disk)
        for _ in range(50):
            assert ask(started.url, ROUTE, body).status == 200
            assert ask(started.url, ROUTE, b"{").status == 400
        found = metrics(started.url)
        assert found[f'oddwave_requests_total{{route="{ROUTE}",status="2xx"}}'] == 50
        assert found['oddwave_rejected_total{reason="bad_json"}'] == 50
        assert len(workers(started.process)) == 2
        (disk / "filler").unlink()
        assert ask(started.url, "/nothing").json["logId"] in started.errors()
        assert "linesLeftOut" in started.errors()
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0


def test_a_disk_that_is_full_at_the_start_isnt_used(tmp_path_factory, monkeypatch, body):
    run = small.detector(tmp_path_factory.mktemp("elsewhere") / "run")
    with small_disk(tmp_path_factory.mktemp("disk"), monkeypatch, "16m") as disk:
        fill(disk)
        monkeypatch.setattr(tempfile, "tempdir", None)  # look for a place again
        with service("--model", run, "--workers", 1, "--drain", 0) as started:
            assert ask(started.url, ROUTE, body).status == 200
            assert small.names_in(disk) == ["filler"]


def test_a_log_that_nobody_reads_stops_no_request(run, body):
    words = [sys.executable, "-m", "oddwave", "serve", "--port", "0", "--workers", "1", "--log", "all", "--drain", "0"]
    env = os.environ | {"PYTHONPATH": str(SRC)}
    with subprocess.Popen([*words, "--model", str(run)], env=env, stderr=subprocess.PIPE, text=True) as process:
        url = re.search(r"http://\S+", process.stderr.readline())[0]
        connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
        for _ in range(1000):  # lines of some 150 bytes: twice what a pipe holds
            connection.request("GET", "/nothing")
            with connection.getresponse() as response:
                assert (response.status, bool(response.read())) == (404, True)
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert len(process.stderr.read()) > 1 << 14
