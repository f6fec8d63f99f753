"""The faults of `behaviour`, carried out on a connection."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .behaviour import Fault, FaultKind, RetryAfterForm
from .connections import Connections
from .errors import COMMON_HEADERS, Problem, problem_response

_BOMB_CHUNK = bytes(1 << 20)
_GOODBYE_S = 1.0


def answer_instead(fault: Fault) -> Response | None:
    """The answer that is sent in place of the work; None when the fault has none."""
    if fault.kind is FaultKind.STATUS and not fault.after_storing:
        return _status_answer(fault)
    if fault.kind is FaultKind.GZIP_BOMB:
        headers = {**COMMON_HEADERS, "Content-Encoding": "gzip"}
        return StreamingResponse(_bomb(fault.unpacked_bytes), 200, headers, "application/json")
    if fault.kind is FaultKind.REDIRECT:
        return Response(status_code=307, headers={**COMMON_HEADERS, "Location": fault.location})
    return None


def spoil_answer(fault: Fault, answer: Response, connections: Connections) -> Response:
    """The answer that is sent in place of the right one, after the work."""
    if fault.kind is FaultKind.STATUS:
        return _status_answer(fault)
    if fault.kind is FaultKind.GARBAGE_ANSWER:
        return Response(b'{"results": [{"tile_uuid": ', 200, COMMON_HEADERS, "application/json")
    if fault.kind is FaultKind.WRONG_HASH:
        return _with_results(answer, _with_wrong_hash)
    if fault.kind is FaultKind.OMIT_TILES:
        return _with_results(answer, lambda results: results[1::2])
    return _BadlySentAnswer(fault, answer, connections)


def _status_answer(fault: Fault) -> Response:
    headers = {}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = _retry_after(fault.retry_after_s, fault.retry_after_form)
    return problem_response(
        Problem.of_status(fault.status), "told to fail", status=fault.status, headers=headers
    )


def _retry_after(seconds: int, form: RetryAfterForm) -> str:
    if form is RetryAfterForm.SECONDS:
        return str(seconds)
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


async def _bomb(unpacked_bytes: int) -> AsyncIterator[bytes]:
    """Zeros, compressed a thousandfold."""
    packer = zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)
    for start in range(0, unpacked_bytes, len(_BOMB_CHUNK)):
        yield packer.compress(_BOMB_CHUNK[: unpacked_bytes - start])
        await asyncio.sleep(0)  # lets the loop notice that the client has disconnected
    yield packer.flush()


def _with_results(answer: Response, change: Any) -> Response:
    results = json.loads(bytes(answer.body)).get("results", [])
    return Response(json.dumps({"results": change(results)}), 200, COMMON_HEADERS, "application/json")


def _with_wrong_hash(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each hash reversed: the right form, the wrong content."""
    return [
        {**result, "stored_sha256": result["stored_sha256"][::-1]} if "stored_sha256" in result else result
        for result in results
    ]


class _BadlySentAnswer(Response):
    """The right answer, on a connection that fails."""

    def __init__(self, fault: Fault, answer: Response, connections: Connections) -> None:
        super().__init__(answer.body, answer.status_code, dict(answer.headers))
        self._fault = fault
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fault.kind is FaultKind.DRIP_ANSWER:
            await self._drip(receive, send)
            return
        if self._fault.kind is FaultKind.TRUNCATE_ANSWER:
            await self._start(send)
            await send(_part(self.body[: len(self.body) // 2]))
            self._connections.close(scope)
        else:
            if self._fault.kind is FaultKind.HANG:
                await _disconnected(receive, self._fault.seconds)
            self._connections.reset(scope)
        await _disconnected(receive, _GOODBYE_S)  # otherwise uvicorn would report an incomplete answer

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _drip(self, receive: Receive, send: Send) -> None:
        await self._start(send)
        for position in range(len(self.body)):
            if await _disconnected(receive, self._fault.seconds):
                return
            await send(_part(self.body[position : position + 1]))
        await send({"type": "http.response.body", "body": b""})


def _part(body: bytes | memoryview) -> dict[str, Any]:
    return {"type": "http.response.body", "body": bytes(body), "more_body": True}


async def _disconnected(receive: Receive, seconds: float) -> bool:
    """Wait at most `seconds` for the client to disconnect; whether it has."""

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(left(), seconds)
    except asyncio.TimeoutError:
        return False
    return True
