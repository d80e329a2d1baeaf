"""Devices by name: what `--device` takes."""

from __future__ import annotations

from typing import NamedTuple

from oddwave.errors import DeviceError, nearest

KINDS = ("cpu", "gpu", "npu", "xpu", "mlu", "dcu")
LISTED = "cpu, auto, gpu:0, npu:0, xpu:0, mlu:0 or dcu:0"


class Device(NamedTuple):
    """A kind of device and which of its kind, by number; none for cpu and auto."""

    kind: str
    numbers: tuple[int, ...] = ()


def parse(text: str) -> Device:
    """Read the name of a device, strictly.

    Raises
    ------
    DeviceError
        If it isn't `cpu`, `auto`, or a kind with numbers, `gpu:0` or `gpu:0,1`; `gpu` alone is `gpu:0`.

    Examples
    --------
    >>> parse("gpu:0,1")
    Device(kind='gpu', numbers=(0, 1))
    >>> parse("foo")
    Traceback (most recent call last):
    oddwave.errors.DeviceError: The device 'foo' isn't known.
    Give cpu, auto, gpu:0, npu:0, xpu:0, mlu:0 or dcu:0.
    """
    kind, colon, listed = text.partition(":")
    if kind not in (*KINDS, "auto"):
        raise DeviceError(f"The device {text!r} isn't known.{nearest(kind, (*KINDS, 'auto'))}\nGive {LISTED}.")
    if kind in ("cpu", "auto"):
        if colon:
            raise DeviceError(f"The device {text!r} isn't known: {kind} takes no number. Give {kind}.")
        return Device(kind)
    words = listed.split(",") if colon else ["0"]
    if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
        raise DeviceError(
            f"The device {text!r} can't be used: after {kind}: come numbers, with commas between.\n"
            f"Give for instance {kind}:0 or {kind}:0,1."
        )
    numbers = tuple(map(int, words))
    if len(set(numbers)) != len(numbers):
        raise DeviceError(f"The device {text!r} names a number twice. Give each once.")
    return Device(kind, numbers)
