"""URLs: the file behind an address that a client sends, fetched only from hosts that were allowed.

Off unless hosts are named. Then: http and https, no user name, the name looked up once, each of its addresses public or
itself named, the connection made to that very address, no redirects, limits of time and size.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from oddwave.serve.answers import Refused
from oddwave.serve.settings import ServiceSettings

MAX_CHARACTERS = 4096
TIMEOUT_S = 10.0
_PIECE = 1 << 16
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
# Networks behind which other addresses hide: what they lead to isn't seen in them.
_TUNNELS = [
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
]


def is_url(text: str) -> bool:
    """Say whether a text is meant as an address; base64 has no colon.

    Examples
    --------
    >>> is_url("HTTP://example.com/x.csv"), is_url("file:///etc/passwd"), is_url("dGltZQ==")
    (True, True, False)
    """
    return _URL.match(text[:64]) is not None


def fetch(url: str, settings: ServiceSettings) -> bytes:
    """Return the file behind an address.

    Raises
    ------
    Refused
        403 if it may not be fetched, 422 if it can't be.
    """
    parts = _accepted(url, settings.allow_url_hosts)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = _address(parts.hostname or "", port, settings.allow_url_hosts)
        return _download(parts, address, port, settings.max_body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        kind = "it took too long" if isinstance(error, TimeoutError) else "its server can't be reached or understood"
        raise Refused(422, f"The file behind the URL couldn't be fetched: {kind}.", "no_url") from None


def _accepted(url: str, allowed: Sequence[str]) -> SplitResult:
    if not allowed:
        message = "This service fetches no URLs. Send the CSV itself in base64, or start it with --allow-url-host HOST."
        raise Refused(403, message, "no_url")
    if len(url) > MAX_CHARACTERS or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise Refused(403, "The URL is too long, or holds blanks or signs that no URL has.", "no_url")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise Refused(403, "The URL can't be read.", "no_url") from None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or "\\" in url:
        raise Refused(403, "Only URLs of http and https without a user name are fetched.", "no_url")
    if host.lower() not in {name.lower() for name in allowed}:
        raise Refused(403, f"The host {host[:100]!r} isn't one of those that this service fetches from.", "no_url")
    return parts


def _address(host: str, port: int, allowed: Sequence[str]) -> str:
    """Look a host up, once; refuse it if one of its addresses isn't public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(address in allowed or is_public(address) for address in addresses):
        raise Refused(403, "The host leads to an address inside, which isn't fetched from.", "no_url")
    return addresses[0]


def is_public(text: str) -> bool:
    """Say whether an address is of the open internet, seen through those that wrap others.

    Examples
    --------
    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("64:ff9b::7f00:1"), is_public("::ffff:10.0.0.1")
    (True, False, False, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.is_site_local or any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was looked up and found good, whatever the name leads to by now."""

    def __init__(self, host: str, address: str, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._address, self._context = address, context

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT_S)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End a transfer from another thread."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _download(parts: SplitResult, address: str, port: int, max_body: int) -> bytes:
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = _Pinned(parts.hostname or "", address, port, context)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    end = time.monotonic() + TIMEOUT_S
    watch = threading.Timer(TIMEOUT_S, connection.cut)  # a server may send its headers byte by byte
    watch.start()
    try:
        connection.request("GET", path, headers={"User-Agent": "oddwave", "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        if answer.status != 200 or answer.getheader("Content-Encoding", "identity") != "identity":
            message = (
                f"The URL's server answered {answer.status}; only 200, without redirects or compression, is taken."
            )
            raise Refused(422, message, "no_url")
        whole = bytearray()
        while piece := answer.read1(_PIECE):
            whole += piece
            if len(whole) > max_body:
                raise Refused(413, f"The file behind the URL is larger than {max_body:,} bytes.", "too_large")
            if time.monotonic() > end:
                raise TimeoutError
        return bytes(whole)
    finally:
        watch.cancel()
        connection.close()
