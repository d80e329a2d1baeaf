"""Compile the C files while the package is built; without a C compiler the package goes without, and Python computes.

ODDWAVE_KERNEL=0 leaves them out; ODDWAVE_KERNEL=1 ends with an error where they can't be compiled.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError

MODULES = ("oddwave._kernel", "oddwave.read._plain")  # each from the C file of its name in src/
# No contraction to fused operations: the same numbers on every processor.
FLAGS = ["-O3", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi"]


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Put the compiled kernel into a wheel, or beside its source for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say for which platform the wheel is."""
        wanted = os.environ.get("ODDWAVE_KERNEL", "")
        if self.target_name != "wheel" or wanted == "0":
            return
        self.scratch = tempfile.TemporaryDirectory()
        folder = Path(self.root, "src") if version == "editable" else Path(self.scratch.name)
        try:
            compiled = compile_modules(Path(self.root), folder)
        except (BaseError, OSError) as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"The C files weren't compiled, so Python computes, which takes longer: {error}")
            return
        if version == "editable":
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        for built in compiled:
            build_data["force_include"][str(built)] = built.relative_to(folder).as_posix()
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what was compiled for the wheel."""
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


def compile_modules(root: Path, folder: Path) -> list[Path]:
    """Compile the modules into `oddwave/` of a folder; return the libraries."""
    sources = {name: str(root / "src" / f"{name.replace('.', '/')}.c") for name in MODULES}
    modules = [Extension(name, [sources[name]], extra_compile_args=FLAGS, py_limited_api=True) for name in MODULES]
    command = build_ext(Distribution({"ext_modules": modules}))
    with tempfile.TemporaryDirectory() as scratch:
        command.build_lib, command.build_temp = str(folder), scratch
        command.ensure_finalized()
        command.run()
    return [Path(command.get_ext_fullpath(name)) for name in MODULES]
