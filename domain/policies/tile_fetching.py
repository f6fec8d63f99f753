"""How tiles are fetched from a server: what an answer means, when to ask again, and when to stop.

Pure: an adapter sends the requests and sleeps. A tile's own failures are bounded by `max_attempts`; while the
server answers nobody, only `max_outage_s` counts, so that a server that is started anew costs no tile. A
server that has never answered is given `first_answer_s`.
"""

from __future__ import annotations

import math
from enum import Enum

import attrs

from ..values.validators import is_real, is_whole, plain_numbers
from .file_kinds import file_kind

_JPEG = b"\xff\xd8\xff"
_OTHER_PICTURES = ("is a PNG", "is a WebP")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class FetchLimits:
    """How many requests, and how patiently. Raises `ValueError` with the offending value."""

    connections: int = 4
    requests_per_second: float = 20.0
    max_attempts: int = 8
    """For one tile, while the server answers others: one request in ten may fail, of a million tiles."""
    backoff_base_s: float = 0.25
    throttled_base_s: float = 1.0
    """The base after an answer that there were too many requests."""
    backoff_cap_s: float = 30.0
    max_outage_s: float = 300.0
    """How long the server may answer no request, or ask to wait, before the run ends."""
    first_answer_s: float = 20.0
    """The same for a server that has not answered yet: a wrong address is not waited for."""
    garbage_at_first: int = 20
    """After so many answers that are no tile, and none that is one, the run ends."""
    garbage_in_a_row: int = 500
    """The same later on: a portal may ask for a login half-way."""

    def __attrs_post_init__(self) -> None:
        for name in ("connections", "max_attempts", "garbage_at_first", "garbage_in_a_row"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of 1 or more, got {value!r}")
        seconds = ("backoff_base_s", "throttled_base_s", "backoff_cap_s", "max_outage_s", "first_answer_s")
        for name in ("requests_per_second", *seconds):
            value = getattr(self, name)
            if not is_real(value) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be a finite number greater than 0, got {value!r}")


class AnswerKind(str, Enum):
    """What an answer means for the run."""

    PICTURE = "picture"
    """A JPEG, PNG or WebP; whether it is whole shows when it is read."""
    UNCHANGED = "unchanged"
    """The tile is still the one that the request named."""
    NOTHING_THERE = "nothing there"
    """The server has no tile at this place."""
    GARBAGE = "garbage"
    """No tile, and asking again would not change that."""
    FAILED = "failed"
    """No tile now; asking again may help."""
    REFUSED = "refused"
    """The server serves this operator no more; it is not asked again."""


@attrs.frozen
class JudgedAnswer:
    """An answer's kind, and in a few words what it was."""

    kind: AnswerKind
    what: str


def judge_answer(status: int, body: bytes, *, is_conditional: bool = False) -> JudgedAnswer:
    """The meaning of a whole answer, redirects within the server followed already.

    `is_conditional`: the request named a version of the tile.
    """
    if status == 200:
        return _judge_body(body)
    if status == 304 and is_conditional:
        return JudgedAnswer(AnswerKind.UNCHANGED, "status 304")
    if status in (204, 404, 410):
        return JudgedAnswer(AnswerKind.NOTHING_THERE, f"status {status}")
    if status in (401, 403, 407):
        return JudgedAnswer(AnswerKind.REFUSED, f"status {status}")
    if status in (408, 425, 429) or 500 <= status < 600:
        return JudgedAnswer(AnswerKind.FAILED, f"status {status}")
    return JudgedAnswer(AnswerKind.GARBAGE, f"status {status}")


def _judge_body(body: bytes) -> JudgedAnswer:
    if body.startswith(_JPEG):
        return JudgedAnswer(AnswerKind.PICTURE, "a JPEG")
    is_what, _ = file_kind(body)
    kind = AnswerKind.PICTURE if is_what in _OTHER_PICTURES else AnswerKind.GARBAGE
    return JudgedAnswer(kind, "empty" if not body else is_what.removeprefix("is "))


@attrs.frozen
class AskAgain:
    """Ask for the tile again after `wait_s` seconds; with `everybody` no request starts until then."""

    wait_s: float
    everybody: bool


class GiveUp(str, Enum):
    """What is given up after a failure."""

    TILE = "tile"
    RUN = "run"


@attrs.frozen(kw_only=True)
class Failure:
    """A request that failed, and what is known of the server by then."""

    attempts: int
    """Requests for this tile so far, this one included."""
    retry_after_s: float | None
    is_throttled: bool
    """Whether the server said that there were too many requests."""
    has_answered: bool
    """Whether the server answered any request of this run."""
    strikes: int
    """Failures of this tile before which the server answered another request since the failure before."""
    silent_for_s: float
    """Seconds since the first failure that no success followed."""


def after_failure(failure: Failure, share: float, limits: FetchLimits) -> AskAgain | GiveUp:
    """What follows a failed request; `share` within 0..1 is drawn at random, so that clients spread out.

    A server's `Retry-After` is heeded whole, and one beyond `max_outage_s` ends the run: to ask sooner would
    be impolite. The wait is at least half of `base * 2 ** (attempts - 1)`, up to the cap, and a share of the
    other half. Where the server names a wait, or says that there were too many requests, nobody asks
    meanwhile.
    """
    asked = failure.retry_after_s
    patience_s = limits.max_outage_s if failure.has_answered or asked is not None else limits.first_answer_s
    if failure.silent_for_s > patience_s or (asked is not None and asked > limits.max_outage_s):
        return GiveUp.RUN
    if failure.strikes >= limits.max_attempts:
        return GiveUp.TILE
    doublings = min(failure.attempts - 1, 32)
    base_s = limits.throttled_base_s if failure.is_throttled else limits.backoff_base_s
    longest = min(base_s * 2.0**doublings, limits.backoff_cap_s)
    wait_s = max(longest * (0.5 + share / 2), asked or 0.0)
    return AskAgain(wait_s, everybody=asked is not None or failure.is_throttled)


def next_start_s(
    now_s: float, last_start_s: float | None, pause_until_s: float, limits: FetchLimits
) -> float:
    """When the next request may start: not before the pause ends, nor sooner than the rate allows."""
    earliest = max(now_s, pause_until_s)
    if last_start_s is None:
        return earliest
    return max(earliest, last_start_s + 1.0 / limits.requests_per_second)
