"""The protocol of docs/openapi.yaml as a Starlette application."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ...domain.errors import AerotileError
from ..config.secret import Secret
from ..upload_protocol import (
    BATCH_PATH,
    BATCH_TYPE,
    CURSOR,
    PROTOCOL_HEADER,
    PROTOCOL_VERSION,
    VOTES_PATH,
)
from .bad_answers import answer_instead, spoil_answer
from .behaviour import Behaviour, Fault, FaultKind, FaultTarget
from .connections import Connections
from .errors import Problem, RequestProblemError, json_response, problem_response
from .frames import MalformedBatchError, TooManyTilesError
from .shelf import Shelf

_DIGEST = re.compile(r"(?:^|,)[ \t]*sha-256=:([A-Za-z0-9+/]+=*):[ \t]*(?=,|$)")
_LIMIT = re.compile(r"[0-9]{1,4}")
_DEFAULT_VOTES = 500
_MAX_VOTES = 1000

logger = logging.getLogger(__name__)


class ProviderApplication:
    """Answers the protocol's three calls, with the faults of `behaviour`."""

    def __init__(self, shelf: Shelf, token: Secret, behaviour: Behaviour, connections: Connections) -> None:
        self._shelf = shelf
        self._token = token
        self._connections = connections
        self._requests: Counter[FaultTarget] = Counter()
        self._behaviour = behaviour

    @property
    def behaviour(self) -> Behaviour:
        """The faults; setting them counts requests from 1 again."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._requests.clear()

    def requests(self, target: FaultTarget) -> int:
        """Number of requests since the behaviour was set."""
        return self._requests[target]

    def starlette(self) -> Starlette:
        """The application that a server runs."""
        return Starlette(
            routes=[
                Route(BATCH_PATH, self._upload_tiles, methods=["POST"]),
                Route(VOTES_PATH, self._list_votes, methods=["GET"]),
                Route("/v1/health", self._read_health, methods=["GET"]),
            ],
            exception_handlers={
                RequestProblemError: _answer_problem,
                HTTPException: _answer_http_exception,
                Exception: _answer_failure,
            },
        )

    async def _upload_tiles(self, request: Request) -> Response:
        behaviour, fault = self._next(FaultTarget.TILES)
        self._check_caller(request)
        self._check_batch_headers(request, behaviour)
        reset_halfway = fault is not None and fault.kind is FaultKind.RESET_IN_REQUEST
        try:
            body = await asyncio.wait_for(
                self._read_body(request, behaviour, reset_halfway), behaviour.body_deadline_s
            )
        except asyncio.TimeoutError:
            raise RequestProblemError(
                Problem.TOO_SLOW, f"a body has {behaviour.body_deadline_s:g} seconds to arrive"
            ) from None
        except ClientDisconnect:
            logger.debug("a client left in the middle of its batch; nothing of it was stored")
            return Response(status_code=400)
        if fault is not None and (instead := answer_instead(fault)) is not None:
            return instead
        _check_digest(request, body)
        answer = json_response({"results": await run_in_threadpool(self._take, body, behaviour)})
        return answer if fault is None else spoil_answer(fault, answer, self._connections)

    def _take(self, body: bytes, behaviour: Behaviour) -> list[dict[str, Any]]:
        try:
            return self._shelf.take(body, behaviour)
        except TooManyTilesError as error:
            raise _too_large(str(error), behaviour) from error
        except MalformedBatchError as error:
            raise RequestProblemError(Problem.MALFORMED_BATCH, str(error)) from error
        except AerotileError as error:
            logger.error("a batch could not be stored: %s", error)
            raise RequestProblemError(Problem.UNAVAILABLE, "the tiles can't be stored now") from error

    async def _list_votes(self, request: Request) -> Response:
        _, fault = self._next(FaultTarget.VOTES)
        self._check_caller(request)
        after = _whole_number(request, "after", CURSOR, 0)
        limit = _whole_number(request, "limit", _LIMIT, _DEFAULT_VOTES)
        if not 1 <= limit <= _MAX_VOTES:
            raise RequestProblemError(Problem.BAD_PARAMETER, f"limit must be within 1..{_MAX_VOTES}")
        if fault is not None and (instead := answer_instead(fault)) is not None:
            return instead
        votes, following = self._shelf.votes.page(after, limit)
        answer = json_response(
            {
                "votes": [vote.facts() for vote in votes],
                "next": None if following is None else str(following),
            }
        )
        return answer if fault is None else spoil_answer(fault, answer, self._connections)

    async def _read_health(self, _: Request) -> Response:
        return json_response(
            {
                "status": "ok",
                "protocols": [int(PROTOCOL_VERSION)],
                "max_body_bytes": self._behaviour.max_body_bytes,
                "max_tiles": self._behaviour.max_tiles,
            }
        )

    def _next(self, target: FaultTarget) -> tuple[Behaviour, Fault | None]:
        self._requests[target] += 1
        return self._behaviour, self._behaviour.fault_for(target, self._requests[target])

    def _check_caller(self, request: Request) -> None:
        """Check the token before anything else, then the protocol's version."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = hmac.compare_digest(token.strip().encode(), self._token.reveal().encode())
        if scheme.lower() != "bearer" or not known:
            raise RequestProblemError(Problem.UNAUTHORIZED, "send the token as Authorization: Bearer")
        if request.headers.get(PROTOCOL_HEADER) != PROTOCOL_VERSION:
            raise RequestProblemError(
                Problem.UNSUPPORTED_PROTOCOL,
                f"send {PROTOCOL_HEADER}: {PROTOCOL_VERSION}, the only version here",
            )

    def _check_batch_headers(self, request: Request, behaviour: Behaviour) -> None:
        """Refuse what can be refused before the body is read."""
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != BATCH_TYPE:
            raise RequestProblemError(Problem.UNSUPPORTED_MEDIA_TYPE, f"a batch is sent as {BATCH_TYPE}")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RequestProblemError(Problem.UNSUPPORTED_MEDIA_TYPE, "a batch is sent without an encoding")
        length = request.headers.get("Content-Length")
        # Beside Transfer-Encoding a Content-Length says nothing: the body is as long as its chunks.
        if length is None or "Transfer-Encoding" in request.headers:
            raise RequestProblemError(
                Problem.LENGTH_REQUIRED, "send the body with a Content-Length and without Transfer-Encoding"
            )
        if int(length) > behaviour.max_body_bytes:
            raise _too_large(f"the body has {length} bytes", behaviour)

    async def _read_body(self, request: Request, behaviour: Behaviour, reset_halfway: bool) -> bytes:
        declared = int(request.headers["Content-Length"])
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if reset_halfway and len(body) >= declared // 2:
                self._connections.reset(request.scope)
                raise ClientDisconnect
        return bytes(body)


def _check_digest(request: Request, body: bytes) -> None:
    match = _DIGEST.search(request.headers.get("Content-Digest", ""))
    if match is None:
        raise RequestProblemError(
            Problem.DIGEST_MISSING, "send Content-Digest: sha-256=:BASE64: as RFC 9530 has it"
        )
    try:
        promised = base64.b64decode(match[1], validate=True)
    except binascii.Error as error:
        raise RequestProblemError(Problem.DIGEST_MISSING, "the digest is no base64") from error
    if not hmac.compare_digest(promised, hashlib.sha256(body).digest()):
        raise RequestProblemError(
            Problem.DIGEST_MISMATCH, "the body's SHA-256 is another one than that of Content-Digest"
        )


def _whole_number(request: Request, name: str, form: re.Pattern[str], default: int) -> int:
    values = request.query_params.getlist(name)
    if not values:
        return default
    if len(values) > 1 or not form.fullmatch(values[0]):
        raise RequestProblemError(Problem.BAD_PARAMETER, f"{name} is not as the protocol has it")
    return int(values[0])


def _too_large(detail: str, behaviour: Behaviour) -> RequestProblemError:
    limits = {"max_body_bytes": behaviour.max_body_bytes, "max_tiles": behaviour.max_tiles}
    return RequestProblemError(Problem.TOO_LARGE, detail, members=limits)


def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestProblemError)
    return problem_response(error.problem, error.detail, members=error.members)


def _answer_http_exception(_: Request, error: Exception) -> Response:
    """Refusals of Starlette's router: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    return problem_response(
        Problem.of_status(error.status_code), status=error.status_code, headers=error.headers
    )


def _answer_failure(_: Request, __: Exception) -> Response:
    """A defect of this server; uvicorn logs it."""
    return problem_response(Problem.INTERNAL_ERROR)
