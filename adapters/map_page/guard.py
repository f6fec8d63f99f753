"""What stands in front of every answer: the name that the server was called by, and the browser's limits."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...domain.errors import ConfigurationError
from .answers import line_response

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
HEADERS = {
    "Content-Security-Policy": (
        # Leaflet gives the place of a picture that it removes an empty one of its own (`data:`).
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


class KnownHosts:
    """The names that a client may call the server by.

    A page of another site can have its own name lead to this server (DNS rebinding), but then the browser
    still sends that name. An address can't be made to lead elsewhere.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names` lead to the server beside `localhost`; of addresses those of loopback, until `bind`.

        Raises `ConfigurationError` for what no browser sends as the name of a host.
        """
        names = tuple(names)
        for name in names:
            if _NAME.fullmatch(name) is None:
                raise ConfigurationError(
                    f"--name {name!r} is no name of a host", remedy="name it without scheme, port and path"
                )
        self._loopback_only = True
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    def bind(self, address: str) -> None:
        """Say which address the server listens on: where others reach it, any address may be its own."""
        self._loopback_only = is_loopback(address)

    def know(self, host: str) -> bool:
        """Whether a Host header calls this server."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self._loopback_only


class Guard:
    """Refuses requests under a name that is not this server's, and adds the headers of every answer."""

    def __init__(self, application: ASGIApp, hosts: KnownHosts, when_answered: WhenAnswered) -> None:
        self._application = application
        self._hosts = hosts
        self._when_answered = when_answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began, status = time.perf_counter(), 500

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        hosts = headers.getlist("Host")
        try:
            if len(hosts) != 1 or not self._hosts.know(hosts[0]):
                answer: ASGIApp = line_response(
                    421,
                    "this server is not called by that name; name it with aerotile serve --name NAME",
                )
            elif scope["method"] not in ("GET", "HEAD") and not _is_own_page(headers, hosts[0]):
                answer = line_response(403, "a page of another server asks; only pages of this one may")
            else:
                answer = self._application
            await answer(scope, receive, guarded)
        finally:
            self._when_answered(scope, status, time.perf_counter() - began)


def _is_own_page(headers: Headers, host: str) -> bool:
    """Whether no browser asks on behalf of a page of another server: it says whose page asks."""
    origins = headers.getlist("Origin")
    asked_by = headers.get("Sec-Fetch-Site", "none")
    return asked_by in ("same-origin", "none") and all(
        origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower()) for origin in origins
    )


WhenAnswered = Callable[[Scope, int, float], None]
"""Called with the scope of a request, the status of its answer, and the seconds that it took."""
