"""The body of a request, of bounded size and within a bounded time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .answers import RefusedError

LONGEST_S = 30.0
_CLOSING = {"Connection": "close"}
"""What of the body is still to come is not read."""


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body. Raises `RefusedError` for one that is too large, too slow, or ends too early."""
    try:
        return await asyncio.wait_for(_read(request, most_bytes), LONGEST_S)
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the file did not arrive within {LONGEST_S:g} s", _CLOSING) from None
    except ClientDisconnect:
        raise RefusedError(400, "the file ended too early", _CLOSING) from None


async def _read(request: Request, most_bytes: int) -> bytes:
    too_large = RefusedError(413, f"the file is larger than {most_bytes >> 20} MiB", _CLOSING)
    length = request.headers.get("Content-Length", "0")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most_bytes):
        raise too_large
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most_bytes:
            raise too_large
    return bytes(content)
