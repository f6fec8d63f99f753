"""`Exchange`: one request and its whole answer, within a time and a size."""

from __future__ import annotations

import ssl
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote, urljoin

import attrs
import httpx

from ...domain.policies.retry_after import retry_after_s
from ...domain.ports.clock import Clock
from ..http_logs import hide_in_http_logs
from .address import ServerAddress

MAX_ANSWER_BYTES = 8 << 20
_CONNECT_TIMEOUT_S = 10.0
_MAX_REDIRECTS = 3


@attrs.frozen
class Answer:
    """A whole answer, or why there is none; texts do not show the token."""

    status: int = 0
    body: bytes = b""
    retry_after_s: float | None = None
    problem: str | None = None
    """What broke the exchange; asking again may help."""
    garbage: str | None = None
    """What the answer was that is not taken; asking again would not change that."""


class Exchange:
    """Requests over connections that stay open; from any number of threads."""

    def __init__(
        self, address: ServerAddress, *, connections: int, timeout_s: float, clock: Clock, user_agent: str
    ) -> None:
        """`timeout_s` passes in real time, as the timeouts of sockets do, and not by `clock`."""
        self._address = address
        self._timeout_s = timeout_s
        self._clock = clock
        if address.token is not None:
            hide_in_http_logs(address.token.reveal())
            hide_in_http_logs(quote(address.token.reveal(), safe=""))
        self._client = httpx.Client(
            verify=ssl.create_default_context() if address.server.startswith("https:") else False,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": user_agent},
        )

    def get(self, url: str) -> Answer:
        """Send a request. Redirects are followed on the server itself alone; nothing is sent elsewhere."""
        until = time.monotonic() + self._timeout_s
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                answer, location = self._once(url, until)
                if location is None:
                    return answer
                target = urljoin(url, location)
                if not self._is_here(target):
                    return Answer(garbage="a redirect to another server")
                url = target
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(problem=_reason(error))
        return Answer(garbage=f"more than {_MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _is_here(self, url: str) -> bool:
        parts = httpx.URL(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return (parts.scheme, parts.host, port) == self._address.origin

    def _once(self, url: str, until: float) -> tuple[Answer, str | None]:
        with self._client.stream("GET", url, headers=self._address.headers) as response:
            body = bytearray()
            for part in response.iter_raw():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    return Answer(garbage=f"an answer of more than {MAX_ANSWER_BYTES} bytes"), None
                if time.monotonic() > until:
                    return Answer(problem=f"not over after {self._timeout_s:g} s"), None
            status, headers = response.status_code, response.headers
        location = headers.get("Location") if 300 <= status < 400 else None
        wait_s = retry_after_s(headers.get("Retry-After"), headers.get("Date"), self._clock.now())
        return Answer(status, bytes(body), wait_s), location


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
