"""`Exchange`: one request and its whole answer, within a time and a size."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import CancelledError
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote, urljoin

import attrs
import httpx

from ...domain.policies.retry_after import retry_after_s
from ...domain.ports.clock import Clock
from ..http_logs import hide_in_http_logs
from ..loop_thread import LoopThread
from ..unread_redirects import location_of, set_location_aside
from .address import ServerAddress
from .versions import condition_of, version_of

MAX_ANSWER_BYTES = 8 << 20
_CONNECT_TIMEOUT_S = 10.0
_MAX_REDIRECTS = 3


@attrs.frozen
class Answer:
    """A whole answer, or why there is none; texts do not show the token."""

    status: int = 0
    body: bytes = b""
    retry_after_s: float | None = None
    version: str | None = None
    """The header that names this state of the tile, for `Exchange.get`."""
    problem: str | None = None
    """What broke the exchange; asking again may help."""
    garbage: str | None = None
    """What the answer was that is not taken; asking again would not change that."""


class Exchange:
    """Requests over connections that stay open; from any number of threads."""

    def __init__(
        self, address: ServerAddress, *, connections: int, timeout_s: float, clock: Clock, user_agent: str
    ) -> None:
        """`timeout_s` is for all of a request, from its connection to the last byte of its answer.

        It passes in real time, and not by `clock`.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._clock = clock
        if address.token is not None:
            hide_in_http_logs(address.token.reveal())
            hide_in_http_logs(quote(address.token.reveal(), safe=""))
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context() if address.server.startswith("https:") else False,
            trust_env=False,
            follow_redirects=False,
            event_hooks={"response": [set_location_aside]},
            timeout=httpx.Timeout(None, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": user_agent},
        )
        # Only a task can be ended at a time of its own: sockets' timeouts begin anew with each byte.
        self._loop = LoopThread("aerotile-exchange")
        self._is_over = False

    def get(self, url: str, version: str | None = None) -> Answer:
        """Send a request. Redirects are followed on the server itself alone; nothing is sent elsewhere.

        `version` is that of an earlier `Answer`: the server sends the tile only where it has another one.
        """
        try:
            return self._loop.result(self._loop.submit(self._within_time(url, version)))
        except CancelledError:
            return Answer(problem="ended by this program")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(problem=_reason(error))

    def end_requests(self) -> None:
        """End those under way, and begin no others; their answers have a problem.

        From any thread, before `close`.
        """
        self._is_over = True
        with suppress(CancelledError):  # another thread does the same
            self._loop.cancel()

    def close(self) -> None:
        """End the requests under way, and close the connections."""
        self._loop.close(self._client.aclose())

    async def _within_time(self, url: str, version: str | None) -> Answer:
        if self._is_over:  # its thread was about to begin it when the others were cancelled
            return Answer(problem="ended by this program")
        try:
            return await asyncio.wait_for(self._followed(url, version), self._timeout_s)
        except asyncio.TimeoutError:  # no `TimeoutError` of Python's own on CPython 3.10
            return Answer(problem="no answer in time")

    async def _followed(self, url: str, version: str | None) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            answer, location = await self._once(url, version)
            if location is None:
                return answer
            target = self._here(url, location)
            if target is None:
                return Answer(garbage="a redirect to another server")
            url = target
        return Answer(garbage=f"more than {_MAX_REDIRECTS} redirects")

    def _here(self, url: str, location: str) -> str | None:
        """The address that a redirect leads to; None for one of another server, or that can't be read."""
        try:
            target = urljoin(url, location)
            parts = httpx.URL(target)
            origin = parts.scheme, parts.host, parts.port or (443 if parts.scheme == "https" else 80)
        except (httpx.InvalidURL, ValueError):
            return None
        return target if origin == self._address.origin else None

    async def _once(self, url: str, version: str | None) -> tuple[Answer, str | None]:
        headers = self._address.headers | condition_of(version)
        async with self._client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    return Answer(garbage=f"an answer of more than {MAX_ANSWER_BYTES} bytes"), None
            status, found = response.status_code, response.headers
        wait_s = retry_after_s(found.get("Retry-After"), found.get("Date"), self._clock.now())
        return Answer(status, bytes(body), wait_s, version_of(found)), location_of(status, found)


def _reason(error: Exception) -> str:
    """What broke, in words of ours: httpx's texts may quote the URL."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return f"no secure connection: {cause.reason or 'the certificate is refused'}"
            cause = cause.__cause__ or cause.__context__
        return "no connection"
    if isinstance(error, httpx.RemoteProtocolError):
        return "an answer that broke off"
    return f"a broken connection ({type(error).__name__})"
