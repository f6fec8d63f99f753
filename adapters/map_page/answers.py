"""Answers of the map page: JSON, and one line for whatever is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import AerotileError
from ...domain.values.visible_text import visible

REVALIDATED = {"Cache-Control": "no-cache"}
"""A copy may be kept and is asked for again each time, which costs an answer without a body."""
_LINES = {
    404: "there is nothing at {path}; the page is at /",
    405: "{method} is not answered here; {path} takes {allow}",
}

_log = logging.getLogger("aerotile.serve")


class RefusedError(Exception):
    """A request that can't be answered; `str` says why in one line."""

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.headers = headers


def json_response(facts: Any, media_type: str = "application/json") -> Response:
    """Facts in plain ASCII, as of now."""
    content = json.dumps(facts, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Response(content, 200, dict(REVALIDATED), media_type)


def line_response(status: int, line: str, headers: Mapping[str, str] | None = None) -> Response:
    """One line of plain text; what could begin another line is escaped."""
    content = visible(line).encode("utf-8", "backslashreplace") + b"\n"
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, "text/plain")


def answer_refused(_: Request, error: Exception) -> Response:
    """The answer to a request that was refused."""
    assert isinstance(error, RefusedError)
    return line_response(error.status, str(error), error.headers)


def answer_http_error(request: Request, error: Exception) -> Response:
    """The answer where no route answers."""
    assert isinstance(error, HTTPException)
    line = _LINES.get(error.status_code, str(error.detail))
    allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    line = line.format(path=request.url.path, method=request.method, allow=allow)
    return line_response(error.status_code, line, error.headers)


def answer_unavailable(_: Request, error: Exception) -> Response:
    """The answer where a disk, a database or a damaged tile stands in the way."""
    assert isinstance(error, AerotileError)
    _log.warning("a request was answered with 503: %s", error.explained)
    return line_response(503, error.explained)


def answer_failure(request: Request, error: Exception) -> Response:
    """The answer to a defect; the log has its traceback."""
    _log.error("a defect: %s %s", request.method, request.url.path, exc_info=error)
    return line_response(500, "a defect of the map page; its log shows where")
