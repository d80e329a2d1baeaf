"""The detector file: an ONNX graph, JSON metadata and a checksum in one `.onnx` file; see docs/detector-format.md."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from oddwave import graph
from oddwave.atomic import Atomic
from oddwave.errors import DetectorFileError
from oddwave.metadata import Metadata, problem
from oddwave.protobuf import WireError, block, fields

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
_METADATA_PROPS = 14
_METADATA_KEY = "oddwave"
_CHECKSUM_KEY = "oddwave.sha256"


def save(path: str | os.PathLike[str], model: bytes, metadata: Metadata) -> None:
    """Write a detector file, whole or not at all."""
    with Atomic(Path(path)) as file:
        file.write(encode(model, metadata))


def encode(model: bytes, metadata: Metadata) -> bytes:
    """Append the metadata and the checksum to a bare ONNX model."""
    metadata = msgspec.structs.replace(metadata, graph_sha256=graph_sha256(model))
    data = model + _property(_METADATA_KEY, msgspec.json.encode(metadata))
    return data + _property(_CHECKSUM_KEY, hashlib.sha256(data).hexdigest().encode())


def graph_sha256(model: bytes) -> str:
    """Return the SHA-256 of the graph's own bytes, the detector's identity without its metadata."""
    return hashlib.sha256(next(field.bytes() for field in fields(model) if field.number == 7)).hexdigest()


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file that may be a detector; `decode` checks them.

    Raises
    ------
    DetectorFileError
        If it can't be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DetectorFileError(f"{path} can't be read: {error.strerror}. Check the detector's path.") from None


def decode(data: bytes, source: str) -> Metadata:
    """Check and inspect the bytes of a detector file, which are an ONNX model, and return its metadata.

    Raises
    ------
    DetectorFileError
        If they are damaged, unsafe, of a newer format, or no detector.
    """
    if len(data) > MAX_BYTES:
        raise DetectorFileError(f"{source} is larger than {MAX_BYTES >> 20} MB, no detector is. Check the path.")
    advice = "Get a fresh copy, or train again."
    try:
        found = [field.bytes() for field in fields(data) if field.number == _METADATA_PROPS]
        if len(found) != 2 or _read_property(found[0])[0] != _METADATA_KEY:
            raise WireError("it has no Oddwave metadata")
        if not data.endswith(_property(_CHECKSUM_KEY, _digest(data))):
            raise WireError("its checksum doesn't match, so it was changed or damaged")
        text = _read_property(found[0])[1]
    except WireError as error:
        raise DetectorFileError(f"{source} is not a usable detector: {error}. {advice}") from None
    metadata = _read_metadata(text, source)
    graph.inspect(data, source, metadata.size, len(metadata.channels))
    if metadata.graph_sha256 != graph_sha256(data):
        raise DetectorFileError(f"{source} is not a usable detector: its graph is another one's. {advice}")
    return metadata


def _digest(data: bytes) -> bytes:
    end = len(data) - len(_property(_CHECKSUM_KEY, b"0" * 64))
    return hashlib.sha256(data[: max(end, 0)]).hexdigest().encode()


def _property(key: str, value: bytes) -> bytes:
    return block(_METADATA_PROPS, block(1, key) + block(2, value))


def _read_property(data: bytes) -> tuple[str, bytes]:
    found = {field.number: field for field in fields(data)}
    if set(found) != {1, 2}:
        raise WireError("a property lacks its key or value")
    return found[1].text(), found[2].bytes()


def _read_metadata(text: bytes, source: str) -> Metadata:
    advice = "Get a fresh copy, or train again."
    try:
        version = msgspec.json.decode(text).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise DetectorFileError(
                f"{source} has the detector format {version}, but this Oddwave reads format {FORMAT}. Upgrade Oddwave."
            )
        metadata = msgspec.json.decode(text, type=Metadata)
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise DetectorFileError(f"{source} has metadata that can't be used: {error}. {advice}") from None
    found = problem(metadata)
    if found:
        raise DetectorFileError(f"{source} has metadata that can't be used: {found}. {advice}")
    return metadata
