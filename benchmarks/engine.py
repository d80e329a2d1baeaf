"""Windows a second of the models' graphs at the incumbent's sizes, as a table: make bench.

128 windows of 96 x 25, random numbers. "Plain" is `torch.onnx.export` of the model as its paper writes it
(benchmarks/plain.py) in ONNX Runtime with one thread, else as usual, all windows in a call; "ours" is the graph of the
detector file with the same weights, in one call and in calls of 8 windows, whose tensors stay in the cache (detectors run
32 in a call: between the two). Their errors are checked to be the same. All take turns; every figure is a median. Of one
thread the CPU's time counts, for the machine may be busy; two are two callers of one session, by the clock.

GFLOP/s are twice the multiplications of our graph's products, without those with the 0 around a grid. GB/s are windows
read and errors written. Both stand beside the machine's: a product of 1024 x 1024, numpy's or the runtime's, whichever
is faster, and a copy.
"""

from __future__ import annotations

import io
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from plain import Plain

from oddwave import graph
from oddwave.series import Windows
from oddwave.train import models
from oddwave.train.export import to_onnx
from oddwave.train.scored import Scored

SIZE, CHANNELS, BATCH, CHUNK, ROUNDS = 96, 25, 128, 8, 15
SECONDS = 0.1  # of a turn, about
CALLS = 10
GOALS = {"DLinear_ad": 15.0, "AutoEncoder_ad": 1.3, "PatchTST_ad": 2.0, "Nonstationary_ad": 2.0, "TimesNet_ad": 2.0}
INCUMBENT: dict[str, dict[str, Any]] = {  # else our sizes are its
    "PatchTST_ad": {"layers": 4},
    "TimesNet_ad": {"periods": (96, 48, 32, 24, 19)},
}
Run = Callable[[], Any]


def scored(name: str) -> Scored:
    """Build a model with random weights, and normalisations as after training."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = models.build(name, models.settings(name, INCUMBENT.get(name, {})), SIZE, CHANNELS).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 2.0)
    center, scale, usual_error = (random.uniform(0.5, 2.0, CHANNELS) for _ in range(3))
    return Scored(model, center, scale, usual_error).eval()


def plain(module: Scored) -> bytes:
    out = io.BytesIO()
    program = torch.onnx.export(
        Plain(module), (torch.zeros(2, SIZE, CHANNELS),), dynamo=True, opset_version=18, verbose=False,
        input_names=["window"], output_names=["error"], dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    assert program is not None
    program.save(out)
    return out.getvalue()


def session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def in_turn(runs: dict[str, Run], clock: Callable[[], float]) -> dict[str, float]:
    """Run all in turn, each for about as long; return calls a second, medians."""
    counts, seconds = {}, {name: list[float]() for name in runs}
    for name, run in runs.items():
        run()
        began = time.perf_counter()
        run()
        counts[name] = max(1, round(SECONDS / (time.perf_counter() - began)))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = clock()
            for _ in range(counts[name]):
                run()
            seconds[name].append((clock() - began) / counts[name])
    return {name: 1 / statistics.median(each) for name, each in seconds.items()}


def multiplications(data: bytes) -> int:
    """Count the multiplications of products and convolutions in one window."""
    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _dims(value) for value in (*known.input, *known.value_info, *known.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in known.initializer}
    return sum(_of_node(node, [shapes[name] for name in node.input], shapes[node.output[0]]) for node in known.node)


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _of_node(node: onnx.NodeProto, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    if node.op_type in ("MatMul", "Gemm"):
        return int(np.prod(output)) * inputs[0][-1]
    if node.op_type != "Conv":
        return 0
    pads = next(item.ints for item in node.attribute if item.name == "pads")
    (_, inner, *grid), (filters, _, *kernel) = inputs[:2]
    reached = [
        sum(0 <= at + tap - pads[i] < length for at in range(output[2 + i]) for tap in range(kernel[i]))
        for i, length in enumerate(grid)
    ]
    return int(np.prod([inner, filters, *reached]))


def peaks(n: int = 1024) -> Iterator[tuple[str, float]]:
    """Yield GFLOP/s of a matrix product, and GB/s read and written by a copy, each with one thread."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    product = graph.model([graph.node("MatMul", ["weight", "window"], "error")], {"weight": a}, n, n)
    of_runtime = session(product)
    out, source = np.empty_like(a), np.ones(1 << 25, dtype=np.float32)
    target = np.ones_like(source)
    runs: dict[str, Run] = {
        "numpy": lambda: np.matmul(a, b, out=out),
        "runtime": lambda: of_runtime.run(None, {"window": b[None]}),
        "copy": lambda: np.copyto(target, source),
    }
    found = in_turn(runs, time.process_time)
    yield "numpy", found["numpy"] * 2 * n**3 / 1e9
    yield "runtime", found["runtime"] * 2 * n**3 / 1e9
    yield "copy", found["copy"] * 2 * source.nbytes / 1e9


def caller(data: bytes, windows: list[Windows]) -> Run:
    each = session(data)
    return lambda: [each.run(None, {"window": part})[0] for part in windows]


def openvino(data: bytes, windows: Windows) -> Run:
    from openvino import Core

    core = Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(data, b""), "CPU", options).create_infer_request()
    return lambda: [request.infer([windows], share_inputs=True, share_outputs=True)[0]]


def repeated(run: Run, callers: int) -> Run:
    """Return so many callers at the same time, each with several calls: waking a thread takes as long as a short one."""
    pool = ThreadPoolExecutor(callers)
    return lambda: list(pool.map(lambda _: [run() for _ in range(CALLS)], range(callers)))


def measure(name: str, peak: float, copy: float) -> str:
    """Return a model's row of the table."""
    module = scored(name)
    ours = to_onnx(module, SIZE, CHANNELS)
    x = np.random.default_rng(1).standard_normal((BATCH, SIZE, CHANNELS)).astype(np.float32)
    parts = [x[i : i + CHUNK] for i in range(0, BATCH, CHUNK)]
    runs = {"plain": caller(plain(module), [x]), "whole": caller(ours, [x]), "chunks": caller(ours, parts)}
    if find_spec("openvino"):
        runs["openvino"] = openvino(ours, x)
    expected = runs["plain"]()[0]
    off = max(np.abs(np.concatenate(run()) - expected).max() / np.abs(expected).max() for run in runs.values())
    if not off < 1e-5:
        raise SystemExit(f"{name}: the errors differ by {off:.1g} of the largest")
    speeds = {kind: BATCH * each for kind, each in in_turn(runs, time.process_time).items()}
    best = max(("whole", "chunks"), key=lambda kind: speeds[kind])
    by_clock = in_turn({name: repeated(runs[best], i) for i, name in ((1, "one"), (2, "two"))}, time.perf_counter)
    gflops = 2 * multiplications(ours) * speeds[best] / 1e9
    moved = 2 * x[0].nbytes * speeds[best] / 1e9
    cells = (
        *(f"{speeds[kind]:,.0f}" if kind in speeds else "" for kind in ("plain", "whole", "chunks", "openvino")),
        f"{speeds[best] / speeds['plain']:.2f}", f"{GOALS[name]:g}", f"{2 * by_clock['two'] / by_clock['one']:.2f}",
        f"{gflops:.0f}", f"{gflops / peak:.0%}", f"{moved:.1f}", f"{moved / copy:.0%}", f"{off:.0e}",
    )  # fmt: skip
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found = dict(peaks())
    print(
        f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}; one thread: sgemm {found['numpy']:.0f} ",
        end="",
    )
    print(f"(numpy), {found['runtime']:.0f} GFLOP/s (runtime); copy {found['copy']:.0f} GB/s\n")
    names = (
        "model", "plain, windows/s", "ours", f"in calls of {CHUNK}", "OpenVINO, ours", "better / plain", "goal",
        "2 threads / 1", "GFLOP/s", "of sgemm", "GB/s", "of a copy", "errors differ by",
    )  # fmt: skip
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    for name in GOALS:
        print(measure(name, max(found["numpy"], found["runtime"]), found["copy"]), flush=True)


if __name__ == "__main__":
    main()
