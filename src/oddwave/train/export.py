"""A trained model -> a bare ONNX model: same weights, same bytes, and nothing of this machine inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from oddwave.train.scored import Scored

if TYPE_CHECKING:
    import onnx

OPSET = 18
IR_VERSION = 8

# A constant computed from others is stored as the operation that makes it if it has more elements than this:
# the file stays small, and ONNX Runtime computes it once, when it loads the file.
_STORED_CONSTANT = 64


def to_onnx(scored: Scored, size: int, channels: int) -> bytes:
    """Export to ONNX: `window` float32 [batch, size, channel] in, `error` of the same shape out.

    The model holds standard operators, their weights and names counted through; no documentation, metadata,
    intermediate shapes or paths, which exporters add.
    """
    exported = _export(scored.folded().eval(), torch.zeros(2, size, channels))
    data: bytes = _bare(exported, size, channels).SerializeToString(deterministic=True)
    return data


def _export(module: nn.Module, window: torch.Tensor) -> onnx.ModelProto:
    import onnxscript.optimizer

    with _quiet():
        program = torch.onnx.export(
            module,
            (window,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["window"],
            output_names=["error"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise AssertionError("torch.onnx.export gave no program")
        onnxscript.optimizer.optimize_ir(program.model, output_size_limit=_STORED_CONSTANT)
        return program.model_proto


def _bare(exported: onnx.ModelProto, size: int, channels: int) -> onnx.ModelProto:
    """Rebuild the model from its nodes and weights alone, under names counted through."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {item.name: numpy_helper.to_array(item) for item in exported.graph.initializer}
    names = {"": "", "window": "window", "error": "error"}
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []
    for node in exported.graph.node:
        for name in node.input:
            if name not in names:
                names[name] = f"weight{len(initializers)}"
                initializers.append(numpy_helper.from_array(weights[name], names[name]))
        for name in node.output:
            names.setdefault(name, f"value{len(names)}")
        nodes.append(_bare_node(node, names))
    shape: list[str | int | None] = ["batch", size, channels]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("window", "error")]
    graph = helper.make_graph(nodes, "detector", ends[:1], ends[1:], initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, ir_version=IR_VERSION, producer_name="oddwave", opset_imports=opsets)


def _bare_node(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    from onnx import helper

    inputs, outputs = ([names[name] for name in side] for side in (node.input, node.output))
    bare = helper.make_node(node.op_type, inputs, outputs, domain=node.domain)
    numbers = [attribute for attribute in node.attribute if not attribute.s]
    if any(attribute.s not in (b"", b"NOTSET") for attribute in node.attribute):  # NOTSET: as is usual
        raise AssertionError(f"{node.op_type} has an attribute that is a text")
    bare.attribute.extend(sorted(numbers, key=lambda attribute: attribute.name))
    for attribute in bare.attribute:
        attribute.ClearField("doc_string")
    return bare


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks from the user, who can do nothing about them."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
