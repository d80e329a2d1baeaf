"""API keys: made here, kept as SHA-256, compared in constant time.

A file holds one key a line, `NAME sha256:HEX`. A key is 256 random bits, so that a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from oddwave.atomic import Atomic
from oddwave.errors import ConfigError
from oddwave.serve.answers import Refused

_LINE = re.compile(r"(?P<name>\S+)\s+sha256:(?P<hash>[0-9a-f]{64})$")
_NAME = re.compile(r"[\w.@-]{1,64}")


class Keys:
    """The keys that open the service.

    Parameters
    ----------
    hashes
        SHA-256 of each key.
    """

    def __init__(self, hashes: list[bytes]) -> None:
        self._hashes = hashes

    @classmethod
    def read(cls, path: str) -> Keys:
        """Read a key file.

        Raises
        ------
        ConfigError
            If it can't be read, holds no key, or a line is none.
        """
        hashes = [bytes.fromhex(found["hash"]) for found in _lines(path)]
        if not hashes:
            raise ConfigError(f"{path} holds no key. Make one: oddwave serve --api-key-file {path} --new-key NAME")
        return cls(hashes)

    def check(self, authorization: str | None, key: str | None) -> None:
        """Let a request in, by its headers Authorization (`Bearer KEY`) or X-API-Key.

        Raises
        ------
        Refused
            401, if it has no key, or one that isn't known.
        """
        scheme, _, token = (authorization or "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else key or ""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        known = [hmac.compare_digest(digest, one) for one in self._hashes]  # all of them, however early one fits
        if not any(known):
            wrong = "The API key isn't known" if given else "This service wants an API key"
            message = f"{wrong}. Send it in the header Authorization: Bearer KEY, or X-API-Key."
            raise Refused(401, message, "no_key", (("www-authenticate", "Bearer"),))


def new_key(path: str, name: str) -> str:
    """Make a key, add its hash to a key file, and return it: it is shown only this once.

    Raises
    ------
    ConfigError
        If the name can't be used or has a key already, or the file holds something else.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't name a key: letters, digits and . _ @ - are taken, up to 64.")
    found = _lines(path) if Path(path).exists() else []
    if name in [one["name"] for one in found]:
        raise ConfigError(f"{path} has a key named {name} already. Delete its line first, or take another name.")
    key = secrets.token_urlsafe(32)
    lines = [one[0] for one in found] + [f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()}"]
    with Atomic(Path(path)) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return key


def _lines(path: str) -> list[re.Match[str]]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text"
        raise ConfigError(f"The key file {path} can't be read: {reason}. Check the path.") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise ConfigError(
                f"{path}, line {number}: this is no key; a line is NAME sha256:HEX.\n"
                f"Make one: oddwave serve --api-key-file {path} --new-key NAME"
            )
        found.append(match)
    return found
