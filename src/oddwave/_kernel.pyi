from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def terms(
    values: _Array,
    constants: _Array,
    errors: _Array,
    parts: _Array,
    terms: _Array,
    first: int,
    start: int,
    stop: int,
    end: int,
    before: int,
    after: int,
    long_before: int,
    long_after: int,
    warm_up: int,
    /,
) -> None: ...
def scores(
    terms: _Array,
    curves: _Array,
    smooth: _Array,
    rare: _Array,
    score: _Array,
    knots: tuple[int, ...],
    begin: tuple[int, ...],
    first: int,
    start: int,
    stop: int,
    end: int,
    before: int,
    after: int,
    /,
) -> None: ...
def shares(
    parts: _Array,
    rare: _Array,
    out: _Array,
    first: int,
    start: int,
    stop: int,
    end: int,
    before: int,
    after: int,
    warm_up: int,
    /,
) -> None: ...
def add_windows(
    errors: _Array, total: _Array, windows: int, size: int, channels: int, first: int, stride: int, /
) -> None: ...
