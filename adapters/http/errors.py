"""Statuses, broken connections and unusable answers, as the domain's `UploadProblem`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import httpx

from ...domain.policies.retry_after import retry_after_s
from ...domain.values.upload_reports import ProblemKind, UploadProblem, UploadReason
from ..unread_redirects import location_of
from .protocol import GarbledAnswerError, plain_text, read_problem

_KIND_OF_STATUS = {
    400: ProblemKind.UNREADABLE_BATCH,
    408: ProblemKind.BROKEN_OFF,
    413: ProblemKind.TOO_LARGE,
    422: ProblemKind.UNREADABLE_BATCH,
    429: ProblemKind.BUSY,
    500: ProblemKind.SERVER_FAULT,
    502: ProblemKind.BROKEN_OFF,
    503: ProblemKind.BUSY,
    504: ProblemKind.BROKEN_OFF,
}
_KIND_OF_CODE = {
    # The bytes were damaged on the way; the tiles may be good.
    "digest_mismatch": ProblemKind.BROKEN_OFF,
    "unsupported_protocol": ProblemKind.REFUSED,
}
_CHECK_TOKEN = "check upload.token or upload.token_file with the provider"
_REMEDY_OF_STATUS = {
    401: _CHECK_TOKEN,
    403: _CHECK_TOKEN,
    404: "check upload.url; it is the address in front of /v1/",
}


class ProviderProblemError(Exception):
    """An exchange without a usable answer; raised and caught inside this package only."""

    def __init__(self, problem: UploadProblem) -> None:
        super().__init__(str(problem.reason))
        self.problem = problem


@contextmanager
def exchange_errors(place: str, timeout_s: float, hidden: str) -> Iterator[None]:
    """Turn errors of httpx, of the operating system and of the protocol into `ProviderProblemError`.

    `place` is the provider's address as it may be shown; `hidden` shows in no message.
    """
    try:
        yield
    except asyncio.TimeoutError as error:
        raise ProviderProblemError(too_slow(timeout_s)) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ProviderProblemError(problem_of_error(error, place, hidden)) from error
    except GarbledAnswerError as error:
        raise ProviderProblemError(garbled(str(error))) from error


def problem_of_status(
    status: int, headers: httpx.Headers, body: bytes, now: datetime, hidden: str
) -> UploadProblem:
    """The meaning of a status other than 200; `hidden` shows in no text."""
    code, text = read_problem(body, hidden)
    remedy = _REMEDY_OF_STATUS.get(status)
    kind = _KIND_OF_CODE.get(code or "") or _KIND_OF_STATUS.get(status) or ProblemKind.REFUSED
    location = location_of(status, headers)
    if location is not None:
        text = f"it redirects to {plain_text(location, hidden) or 'nowhere'}, which is not followed"
        remedy = "set upload.url to the provider's own address"
    elif 200 <= status < 400:
        kind = ProblemKind.GARBLED_ANSWER
    details = [part for part in (code, text) if part]
    return UploadProblem(
        kind=kind,
        reason=UploadReason(
            f"http_{status}", ": ".join(["the provider answered with status " + str(status), *details])
        ),
        retry_after_s=retry_after_s(headers.get("Retry-After"), headers.get("Date"), now),
        remedy=remedy,
    )


def garbled(what: str) -> UploadProblem:
    """An answer that can't be used."""
    return UploadProblem(
        kind=ProblemKind.GARBLED_ANSWER,
        reason=UploadReason("garbled_answer", what),
        remedy="check that upload.url names the provider and no proxy in front of it",
    )


def too_slow(seconds: float) -> UploadProblem:
    """An exchange that was not over in time."""
    return UploadProblem(
        kind=ProblemKind.BROKEN_OFF,
        reason=UploadReason("too_slow", f"the exchange was not over after {seconds:g} s"),
        remedy="raise upload.request_timeout_s or lower upload.max_batch_bytes",
    )


def problem_of_error(error: Exception, place: str, hidden: str) -> UploadProblem:
    """The meaning of an error of httpx; `place` is the provider's address as it may be shown."""
    chain = list(_chain(error))
    reason = _reason(chain, hidden)
    if any(isinstance(e, ssl.SSLCertVerificationError) for e in chain):
        return UploadProblem(
            kind=ProblemKind.REFUSED,
            reason=UploadReason("certificate_refused", f"{place}: {reason}"),
            remedy="check this machine's clock, upload.ca_file, and the provider's certificate",
        )
    connecting = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError))
    if connecting and any(isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError) for e in chain):
        return UploadProblem(
            kind=ProblemKind.REFUSED,
            reason=UploadReason("tls_failed", f"{place}: {reason}"),
            remedy="check that upload.url names an HTTPS port",
        )
    if connecting:
        return UploadProblem(
            kind=ProblemKind.UNREACHABLE,
            reason=UploadReason("unreachable", f"{place}: {reason}"),
            remedy="check upload.url and the link",
        )
    return UploadProblem(
        kind=ProblemKind.BROKEN_OFF,
        reason=UploadReason("connection_lost", f"{place}: {reason}"),
        remedy="check the link",
    )


def _reason(chain: list[BaseException], hidden: str) -> str:
    """The innermost error's text; errors of asyncio leave out the operating system's reason."""
    for error in reversed(chain):
        if (
            isinstance(error, OSError)
            and not isinstance(error, (ssl.SSLError, socket.gaierror))
            and error.errno
        ):
            return os.strerror(error.errno)
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return "no answer in time"
        if str(error):
            return plain_text(str(error), hidden)
    return type(chain[0]).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
