"""Atomic: a file that appears under its name when all of it is written, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import IO

from oddwave.errors import OutputError


class Atomic:
    """Write a draft beside the target, then rename it; of several writers of one file the last wins, whole.

    A link stays, what it points to is replaced. An existing file's permissions are kept; a new file's follow the umask.

    Examples
    --------
    >>> with Atomic(Path("out.csv")) as file:  # doctest: +SKIP
    ...     file.write(b"time,label,score")
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.drafts: list[Path] = []

    def __enter__(self) -> IO[bytes]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path = Path(os.path.realpath(self.path))
            if self.path.exists() and not self.path.is_file():
                raise OutputError(f"{self.path} can't be written: it is not an ordinary file. Give another path.")
            return self.restart()
        except OSError as error:
            raise cant_write(self.path, error) from None

    def restart(self) -> IO[bytes]:
        """Begin another draft and return its file; that of the draft before is the caller's to close."""
        # a name that nobody can guess, and "x": neither another thread's draft nor a planted link is ever opened
        draft = self.path.with_name(f".oddwave-{os.urandom(8).hex()}.part")
        mode = stat.S_IMODE(self.path.stat().st_mode) & 0o777 if self.path.exists() else None
        first = 0o666 if mode is None else 0o600  # until it has the old file's, nobody else may read along
        self.file: IO[bytes] = open(draft, "x+b", opener=lambda path, flags: os.open(path, flags, first))  # noqa: SIM115
        self.drafts.append(draft)
        if mode is not None:
            draft.chmod(mode)
        return self.file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.file.close()
            if error is None:
                self.drafts[-1].replace(self.path)
        except OSError as fault:
            raise cant_write(self.path, fault) from None
        finally:
            for draft in self.drafts:
                draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cant_write(self.path, error) from None


def clear(folder: Path) -> None:
    """Delete the drafts that killed processes left in a folder; nobody may be writing there."""
    for draft in folder.glob(f".oddwave-{'[0-9a-f]' * 16}.part"):
        draft.unlink(missing_ok=True)


def cant_write(path: Path, error: OSError | ValueError) -> OutputError:
    """Return an error that says why a file can't be written, and what to do."""
    if not isinstance(error, OSError):
        return OutputError(f"{path!r} can't be written: {error}. Give another path.")
    advice = {
        errno.ENOSPC: "Free some space there, or save to another disk.",
        errno.EDQUOT: "Free some of your quota there, or save to another disk.",
        errno.EFBIG: "The system's limit on a file's size is too low for this result.",
        errno.EACCES: "Give a folder that you may write to.",
        errno.EPERM: "Give a folder that you may write to.",
        errno.EROFS: "Give a folder that you may write to.",
        errno.ENAMETOOLONG: "Give the path of a file with a shorter name.",
    }.get(error.errno or 0, "Give another folder or file name.")
    return OutputError(f"{path} can't be written: {error.strerror or error}. {advice}")
