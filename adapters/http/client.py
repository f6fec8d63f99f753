"""One exchange with the provider, within a deadline and a size."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, Callable
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TypeVar

import attrs
import httpx

from ...domain.errors import ConfigurationError
from ..config.secret import SHORTEST_REPLACED, Secret
from ..http_logs import hide_in_http_logs
from ..unread_redirects import set_location_aside
from ..upload_protocol import PROTOCOL_HEADER, PROTOCOL_VERSION
from .errors import ProviderProblemError, exchange_errors, garbled, problem_of_status

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ProviderAddress:
    """The provider's address and how to connect to it. The token shows in no repr."""

    url: str
    token: Secret
    ca_file: Path | None = None
    """The only certificate authorities to trust; None: those of the machine."""
    trust_env: bool = False
    """Whether proxies of the environment are used."""
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 120.0
    """For the whole exchange, from connecting to the last byte of the answer."""
    max_response_bytes: int = 1 << 20

    @property
    def place(self) -> str:
        """Scheme, host and port."""
        url = httpx.URL(self.url)
        return f"{url.scheme}://{url.netloc.decode('ascii')}"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies the provider's name, and its chain up to `ca_file` or to the machine's authorities.

    Raises `ConfigurationError` for a file that holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificate in PEM form"
        raise ConfigurationError(
            f"upload.ca_file {ca_file} can't be used: {reason}", remedy="name a PEM file of certificates"
        ) from error


class ProviderClient:
    """Exchanges over connections that stay open. For one event loop."""

    def __init__(self, address: ProviderAddress, *, connections: int, now: Callable[[], datetime]) -> None:
        self._address = address
        self._now = now
        token = address.token.reveal()
        self._hidden = token if len(token) >= SHORTEST_REPLACED else ""
        hide_in_http_logs(self._hidden)
        secure = httpx.URL(address.url).scheme == "https"
        self._client = httpx.AsyncClient(
            base_url=address.url,
            verify=tls_context(address.ca_file) if secure else False,
            trust_env=address.trust_env,
            follow_redirects=False,
            event_hooks={"response": [set_location_aside]},
            timeout=httpx.Timeout(None, connect=address.connect_timeout_s),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "Authorization": f"Bearer {address.token.reveal()}",
                PROTOCOL_HEADER: PROTOCOL_VERSION,
                "Accept": "application/json, application/problem+json",
                "Accept-Encoding": "identity",
                "User-Agent": "aerotile",
            },
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        content: AsyncIterable[bytes] | None = None,
        parameters: dict[str, str] | None = None,
        read: Callable[[bytes, str], T],
    ) -> T:
        """Send a request, and read the body of an answer 200 with `read(body, hidden)`.

        Raises `ProviderProblemError` for every other status, for a broken or slow exchange, and when `read`
        raises `GarbledAnswerError`.
        """
        timeout_s = self._address.request_timeout_s
        with exchange_errors(self._address.place, timeout_s, self._hidden):
            body = await asyncio.wait_for(
                self._exchange(method, path, headers, content, parameters), timeout_s
            )
            return read(body, self._hidden)

    async def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None,
        content: AsyncIterable[bytes] | None,
        parameters: dict[str, str] | None,
    ) -> bytes:
        async with self._client.stream(
            method, path, headers=headers, content=content, params=parameters
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise ProviderProblemError(
                    problem_of_status(
                        response.status_code,
                        response.headers,
                        await self._beginning(response),
                        self._now(),
                        self._hidden,
                    )
                )
            if not _is_plain(response):
                raise ProviderProblemError(garbled("the answer is compressed, which was not asked for"))
            body = await self._beginning(response)
            if len(body) > self._address.max_response_bytes:
                raise ProviderProblemError(
                    garbled(f"the answer is larger than {self._address.max_response_bytes} bytes")
                )
            return body

    async def _beginning(self, response: httpx.Response) -> bytes:
        """The body as it was sent, up to the first part that exceeds the limit."""
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > self._address.max_response_bytes:
                break
        return bytes(body)


def _is_plain(response: httpx.Response) -> bool:
    return response.headers.get("Content-Encoding", "").strip().lower() in ("", "identity")
