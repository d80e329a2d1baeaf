"""Detectors of the service: several by name, each loaded again when its file changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from oddwave.detector import FILE_NAME, Detector, find
from oddwave.errors import ConfigError, DetectorFileError, OddwaveError, nearest
from oddwave.series import Columns
from oddwave.serve.answers import Refused

Stamp: TypeAlias = "tuple[int, int, int]"


@dataclass(frozen=True)
class Served:
    """A detector in use.

    Parameters
    ----------
    stamp
        What tells its file from a later one of the same name: inode, size, time of change.
    """

    name: str
    detector: Detector
    columns: Columns
    path: Path
    stamp: Stamp


class Detectors:
    """Loaded detectors by name; the first source's is the default.

    Parameters
    ----------
    sources
        Shipped names, detector files, run folders, or folders in which these lie.

    Raises
    ------
    OddwaveError
        If one can't be used, or two have one name: nothing is served then.
    """

    def __init__(
        self, sources: Sequence[str], device: str = "cpu", time_col: str | None = None, use_hpip: bool = False
    ) -> None:
        self._sources, self._device, self._time_col, self._use_hpip = sources, device, time_col, use_hpip
        self._refused: dict[Path, Stamp] = {}
        self.by_name: dict[str, Served] = {}
        for name, path in self._found():
            if name in self.by_name:
                twin = self.by_name[name].path
                raise ConfigError(f"Two detectors are called {name}: {twin} and {path}. Rename one of them.")
            self.by_name[name] = self._load(name, path)
        if not self.by_name:
            raise ConfigError(f"{', '.join(sources)}: no detector was found. Give --model a detector, or their folder.")
        self.default = next(iter(self.by_name))

    def get(self, name: str | None = None) -> Served:
        """Return a detector; None: the default.

        Raises
        ------
        Refused
            404, if there is none.
        """
        served = self.by_name.get(name or self.default)
        if served is None:
            known = ", ".join(self.by_name)
            wanted = (name or "")[:100]
            message = f"There is no detector {wanted!r}.{nearest(wanted, self.by_name)} Served: {known}."
            raise Refused(404, message, "no_model")
        return served

    def refresh(self) -> Iterator[tuple[str, str]]:
        """Load what is new or changed, drop what is gone; yield each change as name and what happened.

        A file that can't be used is told once; the detector that was there before stays.
        """
        try:
            found = dict(self._found())
        except OddwaveError as error:  # a source that is gone: go on with what is loaded
            found = {name: served.path for name, served in self.by_name.items()}
            yield self.default, f"failed: {error}"
        by_name = {name: served for name, served in self.by_name.items() if name in found or name == self.default}
        for name, path in found.items():
            known = by_name.get(name)
            stamp = _stamp(path)
            if stamp is None or (known is not None and known.path == path and known.stamp == stamp):
                continue
            if self._refused.get(path) == stamp:
                continue
            try:
                by_name[name] = self._load(name, path)
                yield name, "loaded"
            except OddwaveError as error:
                self._refused[path] = stamp
                yield name, f"failed: {error}"
        for name in self.by_name.keys() - by_name.keys():
            yield name, "removed"
        self.by_name = by_name

    def _load(self, name: str, path: Path) -> Served:
        stamp = _stamp(path)
        if stamp is None:
            raise DetectorFileError(f"{path} can't be read. Check the path.")
        detector = Detector.load(path, self._device, threads=1, use_hpip=self._use_hpip)  # others want theirs
        return Served(name, detector, detector.columns(time_col=self._time_col), path, stamp)

    def _found(self) -> Iterator[tuple[str, Path]]:
        for source in self._sources:
            folder = Path(source)
            if folder.is_dir() and not (folder / FILE_NAME).is_file():
                for path in sorted([*folder.glob("*.onnx"), *folder.glob(f"*/{FILE_NAME}")]):
                    yield _name(path), path
            else:
                path = find(source)
                yield _name(path), path


def _name(path: Path) -> str:
    """Call a detector after its file, or after its run folder."""
    return path.resolve().parent.name if path.name == FILE_NAME else path.stem


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
