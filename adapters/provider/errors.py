"""Errors: problem documents (RFC 9457) for clients, the disk's errors as the domain's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from starlette.responses import Response

from ...domain.errors import StoreUnavailableError
from ..upload_protocol import PROBLEM_TYPE, PROTOCOL_HEADER, PROTOCOL_VERSION

COMMON_HEADERS = {PROTOCOL_HEADER: PROTOCOL_VERSION}


class Problem(Enum):
    """A problem of a whole request: the code, the status and the title."""

    BAD_PARAMETER = ("bad_parameter", 400, "A parameter is not as the protocol has it")
    UNSUPPORTED_PROTOCOL = ("unsupported_protocol", 400, "This version of the protocol is not spoken here")
    DIGEST_MISSING = ("digest_missing", 400, "The request does not say the SHA-256 of its body")
    DIGEST_MISMATCH = ("digest_mismatch", 400, "The body does not have the digest that its header promises")
    MALFORMED_BATCH = ("malformed_batch", 400, "The body does not add up to tiles")
    UNAUTHORIZED = ("unauthorized", 401, "No token, or an unknown one")
    FORBIDDEN = ("forbidden", 403, "The token may not do this")
    NOT_FOUND = ("not_found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "Not with this method")
    TOO_SLOW = ("too_slow", 408, "The body did not arrive in time")
    LENGTH_REQUIRED = ("length_required", 411, "The request does not say how long it is")
    TOO_LARGE = ("too_large", 413, "More than one batch may hold")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415, "Not the media type of a batch, or encoded")
    TOO_MANY_REQUESTS = ("too_many_requests", 429, "Later, please")
    INTERNAL_ERROR = ("internal_error", 500, "The provider failed")
    UNAVAILABLE = ("unavailable", 503, "Not now")
    OTHER = ("other", 0, "This request can't be served")

    def __init__(self, code: str, status: int, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title

    @classmethod
    def of_status(cls, status: int) -> Problem:
        """The first problem that is answered with `status`; `OTHER` when the protocol knows none."""
        return next((problem for problem in Problem if problem.status == status), Problem.OTHER)


@contextmanager
def disk_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreUnavailableError`."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot {doing} {error.filename or path}: {error.strerror}",
            remedy="check the folder's permissions and free space",
        ) from error


class RequestProblemError(Exception):
    """The request is to be answered with a problem document."""

    def __init__(
        self,
        problem: Problem,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.members = members or {}


def json_response(facts: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of JSON in plain ASCII, so that every text of the client's can be encoded."""
    return Response(
        json.dumps(facts, separators=(",", ":")).encode("ascii"),
        status,
        {**COMMON_HEADERS, **(headers or {})},
        "application/json",
    )


def problem_response(
    problem: Problem,
    detail: str | None = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """The answer to a refused request."""
    status = problem.status if status is None else status
    facts: dict[str, Any] = {
        "type": f"{PROBLEM_TYPE}{problem.code}",
        "title": problem.title,
        "status": status,
    }
    if detail is not None:
        facts["detail"] = detail
    challenge = {"WWW-Authenticate": 'Bearer realm="aerotile"'} if status == 401 else {}
    response = json_response(
        {**facts, **(members or {})}, status=status, headers={**challenge, **(headers or {})}
    )
    response.headers["Content-Type"] = "application/problem+json"
    return response
