"""Visits: who asks, told by a random cookie, and a folder for what they keep, which nobody else can name."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path

from oddwave.serve.answers import Refused
from oddwave.serve.app import Request

COOKIE = "oddwave_visit"
VISIT_S = 12 * 3600.0  # unused for so long, a visit's files are deleted
MOST_VISITS = 1000
MOST_KEPT = {"files": 20, "results": 12, "detectors": 20, "trainings": 5}  # of one visit; beyond, the oldest one goes
ROOM = 16  # largest uploads that all visits together may fill
_HEADER = "x-oddwave-page"
_ID = re.compile(r"[0-9a-f]{32}")
_VISIT = re.compile(rf"(?:^|;\s*){COOKIE}=([A-Za-z0-9_-]{{32,64}})(?:;|$)")


def cookie(request: Request) -> tuple[tuple[str, str], ...]:
    """Return the header that begins a visit; none if there is one already."""
    if _VISIT.search(request.header("cookie")):
        return ()
    secure = "; Secure" if request.header("x-forwarded-proto") == "https" else ""
    # without a path it belongs to where the page's requests go, also behind a proxy
    return (("set-cookie", f"{COOKIE}={secrets.token_urlsafe(24)}; HttpOnly; SameSite=Strict{secure}"),)


def check_is_page(request: Request) -> None:
    """Refuse to change anything for who isn't the page: a form of another site can't send the header."""
    if request.header(_HEADER) != "1":
        raise Refused(403, f"This is for the page alone: the header {_HEADER}: 1 is missing.", "origin")


class Visit:
    """The folder of one visitor.

    Parameters
    ----------
    folder
        Of the state; it need not exist before something is kept.
    """

    def __init__(self, request: Request) -> None:
        found = _VISIT.search(request.header("cookie"))
        if found is None:
            raise Refused(
                403, "The page's cookie is missing. Load the page again, and let it keep its cookie.", "origin"
            )
        state = request.app.settings.state_dir
        if state is None:
            raise Refused(503, "The service has no folder for the page's files. Start it again.", "busy")
        self._all = Path(state) / "visits"
        self._room = ROOM * request.app.settings.max_upload
        self.folder = self._all / hashlib.sha256(found[1].encode()).hexdigest()

    def get(self, kind: str, name: str) -> Path:
        """Return the folder of something kept.

        Raises
        ------
        Refused
            404, if this visitor has none of this name.
        """
        path = self.folder / kind / name
        if not _ID.fullmatch(name) or not path.is_dir():
            what = kind.removesuffix("s")
            raise Refused(404, f"This {what} is gone: it was closed, or too old. Open the file again.", "no_route")
        os.utime(self.folder)
        os.utime(path)
        return path

    def names(self, kind: str) -> list[str]:
        """Return the names of all that is kept of a kind, the oldest first."""
        folder = self.folder / kind
        found = [path for path in folder.iterdir() if _ID.fullmatch(path.name)] if folder.is_dir() else []
        return [path.name for path in sorted(found, key=_age)]

    def draft(self, kind: str, n_bytes: int) -> Path:
        """Make a folder to fill, after making room; `keep` gives it its name.

        Raises
        ------
        Refused
            503, if there is no room for so many bytes.
        """
        if not self.folder.is_dir():
            self._make()
        old = self.names(kind)
        for name in old[: max(0, len(old) + 1 - MOST_KEPT[kind])]:
            self.drop(kind, name)
        used = sum(file.stat().st_size for file in self._all.rglob("*") if file.is_file())
        if used + n_bytes > self._room or shutil.disk_usage(self._all).free < 2 * n_bytes:
            message = "The service has no room for this now. Close other files, or try again later."
            raise Refused(503, message, "busy", (("retry-after", "60"),))
        folder = self.folder / kind / f"draft-{secrets.token_hex(16)}"
        folder.mkdir(parents=True)
        return folder

    def keep(self, draft: Path) -> str:
        """Give a filled draft its name, and return it: random, so that nobody guesses it."""
        name = secrets.token_hex(16)
        draft.rename(draft.with_name(name))
        os.utime(self.folder)
        return name

    def drop(self, kind: str, name: str) -> None:
        """Delete something kept."""
        shutil.rmtree(self.get(kind, name), ignore_errors=True)

    def _make(self) -> None:
        self._all.mkdir(mode=0o700, parents=True, exist_ok=True)
        visits = list(self._all.iterdir())
        for other in visits:
            if time.time() - _age(other) > VISIT_S:
                shutil.rmtree(other, ignore_errors=True)
        if len(visits) >= MOST_VISITS and sum(1 for _ in self._all.iterdir()) >= MOST_VISITS:
            raise Refused(503, "Too many visitors keep files here. Try again later.", "busy", (("retry-after", "600"),))
        self.folder.mkdir(mode=0o700, exist_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another worker deleted it
        return 0.0
