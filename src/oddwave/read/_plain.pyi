from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def parse(body: bytes, separator: str, places: _Array, values: _Array, ticks: _Array, spans: _Array, /) -> int: ...
