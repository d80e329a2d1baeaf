"""The compiled kernel for tests: skipped where it couldn't be compiled, but not in CI."""

from __future__ import annotations

import os
from types import ModuleType

import pytest


def kernel() -> ModuleType:
    """Return the module `oddwave.kernel`."""
    try:
        from oddwave import kernel as found
    except ImportError:
        assert not os.environ.get("CI"), "the kernel wasn't compiled: install a C compiler and Python's headers"
        pytest.skip("the kernel wasn't compiled: no C compiler, or no headers of Python", allow_module_level=True)
    return found
