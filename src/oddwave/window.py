"""Windows: where they start, and how they are cut from a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oddwave.series import Windows


def starts(n_rows: int, size: int, stride: int) -> NDArray[np.intp]:
    """Return the first rows of the windows at `stride`, plus of one that ends at the last row.

    Examples
    --------
    >>> starts(n_rows=10, size=4, stride=3).tolist()
    [0, 3, 6]
    >>> starts(n_rows=11, size=4, stride=3).tolist()
    [0, 3, 6, 7]
    >>> starts(n_rows=3, size=4, stride=3).tolist()
    []
    """
    last = n_rows - size
    regular = np.arange(0, last + 1, stride)
    return regular if last < 0 or last % stride == 0 else np.append(regular, last)


def cut(values: Windows, first_rows: NDArray[np.intp], size: int) -> Windows:
    """Cut the windows that start at `first_rows`.

    Parameters
    ----------
    values
        Series, shape (time, channel), contiguous.
    first_rows
        First row of each window.

    Returns
    -------
    Windows
        Shape (window, size, channel), a copy: cut a long series in batches.

    Examples
    --------
    >>> values = np.arange(5, dtype=np.float32)[:, None]
    >>> cut(values, starts(5, size=3, stride=2), size=3)[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    count, (step, width) = max(len(values) - size + 1, 0), values.strides
    view: Windows = np.ndarray((count, size, values.shape[1]), values.dtype, values, strides=(step, step, width))
    return view[first_rows]
