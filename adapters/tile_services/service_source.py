"""`TileServiceSource`: the `ImagerySource` over an XYZ or WMTS server."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from ...domain.errors import ImageryPlaceError, ImagerySourceError
from ...domain.policies.tile_fetching import (
    AnswerKind,
    Failure,
    FetchLimits,
    GiveUp,
    JudgedAnswer,
    after_failure,
    judge_answer,
)
from ...domain.ports.clock import Clock
from ...domain.ports.imagery_source import (
    FoundPlace,
    ImageryFacts,
    ImageryTile,
    ReadPlace,
    TilePlace,
    Unchanged,
)
from ...domain.values.tile_grid import MAX_ZOOM, GridRange, shared_range
from ..config.secret import Secret
from .address import TileAddress
from .exchange import Answer, Exchange
from .pace import Pace

_log = logging.getLogger(__name__)

_USUAL_BYTES = 20_000
"""Of an aerial JPEG tile of 256 pixels; replaced by the mean of what was fetched."""
_AGAIN = "run the same command again: it goes on with what is missing"
_THROTTLED = (429, 503)


def whole_world(zoom_level: int) -> GridRange:
    """Every place of a zoom."""
    last = (1 << zoom_level) - 1
    return GridRange(zoom_level, 0, 0, last, last)


@attrs.frozen(kw_only=True)
class ServiceTerms:
    """How servers are asked."""

    clock: Clock
    user_agent: str
    token: Secret | None = None
    limits: FetchLimits = attrs.field(factory=FetchLimits)
    request_timeout_s: float = 30.0


class TileServiceSource:
    """See `ImagerySource`. It holds one block of tiles in memory, and asks for none twice at a time.

    `picture` makes the answer of a place from the bytes of a JPEG, PNG or WebP, in any thread.
    """

    is_remote = True

    def __init__(
        self,
        address: TileAddress,
        terms: ServiceTerms,
        *,
        picture: Callable[[TilePlace, bytes, Collection[TilePlace]], ReadPlace],
        extents: Mapping[int, GridRange] | None = None,
        facts: ImageryFacts | None = None,
        name: str | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`extents` by zoom are what the server says that it has; None: it says nothing, and may have all.

        `draw` gives the random shares of the back-off, within 0..1. Nothing is sent yet.
        """
        self.name = name or address.template
        self.facts = facts or ImageryFacts(kind="XYZ server")
        self._address = address
        self._clock = terms.clock
        self._limits = terms.limits
        self._extents = extents or {zoom: whole_world(zoom) for zoom in range(MAX_ZOOM + 1)}
        self._picture = picture
        self._draw = draw
        self._pace = Pace(terms.limits, terms.clock)
        self._exchange = Exchange(
            address,
            connections=terms.limits.connections,
            timeout_s=terms.request_timeout_s,
            clock=terms.clock,
            user_agent=terms.user_agent,
        )
        self._pool = ThreadPoolExecutor(terms.limits.connections, thread_name_prefix="aerotile-fetch")
        self._counts = threading.Lock()
        self._pictures = self._bytes = self._garbage_in_a_row = 0
        self._came: TilePlace | None = None
        self._stop_error: ImagerySourceError | None = None

    @property
    def seconds_each(self) -> float:
        """See `ImagerySource`: as the limit of the rate says."""
        return 1.0 / self._limits.requests_per_second

    def zooms(self) -> Sequence[int]:
        return sorted(self._extents)

    def extent(self, zoom_level: int) -> GridRange | None:
        return self._extents.get(zoom_level)

    def places(self, within: GridRange) -> Sequence[FoundPlace]:
        """See `ImagerySource`: every place, because a server doesn't say which tiles it lacks."""
        extent = self._extents.get(within.zoom_level)
        there = None if extent is None else shared_range(within, extent)
        if there is None:
            return []
        with self._counts:
            size = self._bytes // self._pictures if self._pictures else _USUAL_BYTES
        return [
            FoundPlace(TilePlace(there.zoom_level, x, y), size)
            for x in range(there.min_x, there.max_x + 1)
            for y in range(there.min_y, there.max_y + 1)
        ]

    def read(
        self,
        places: Sequence[TilePlace],
        versions: Mapping[TilePlace, str] | None = None,
        decoded: Collection[TilePlace] = (),
    ) -> Iterator[ReadPlace]:
        """See `ImagerySource`. Raises `ImagerySourceError` where the server refuses or does not answer."""
        known = versions or {}
        jobs = [self._pool.submit(self._fetch, place, known.get(place), decoded) for place in places]
        try:
            for job in jobs:
                yield job.result()
        finally:
            for job in jobs:
                job.cancel()

    def stop(self) -> None:
        """See `ImagerySource`. Requests under way are ended."""
        self._pace.stopping.set()
        self._exchange.end_requests()

    def __enter__(self) -> TileServiceSource:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()
        self._pool.shutdown(cancel_futures=True)
        self._exchange.close()

    def _fetch(self, place: TilePlace, version: str | None, decoded: Collection[TilePlace]) -> ReadPlace:
        """Ask until there is an answer for good. In any thread."""
        attempts = strikes = 0
        asked_s: float | None = None
        is_last = False
        while True:
            before_s, asked_s = asked_s, self._started_s()
            answer = self._exchange.get(self._address.url(place), version)
            attempts += 1
            judged = _judged(answer, version)
            if judged.kind is not AnswerKind.FAILED:
                return self._settled(place, answer, judged, decoded)
            strikes += self._pace.has_answered_since(asked_s if before_s is None else before_s)
            if is_last or self._wait_after(answer, judged, attempts, strikes):
                return ImageryPlaceError(
                    f"{self._address.shown(place)} failed {attempts} times: {judged.what}",
                    place=place,
                    kind=judged.what,
                    remedy=_AGAIN,
                )
            is_last = attempts % self._limits.max_attempts == 0 and self._answers_another()

    def _started_s(self) -> float:
        """Wait until a request may start. Raises `ImagerySourceError` when none may any more."""
        if not self._pace.wait_for_start():
            raise self._stop_error or ImagerySourceError(f"{self.name} was closed", remedy=_AGAIN)
        return self._clock.monotonic()

    def _answers_another(self) -> bool:
        """Ask for a tile that came before: the last one of a run that fails must not look like an outage."""
        with self._counts:
            place = self._came
        if place is None:
            return False
        self._started_s()
        answer = self._exchange.get(self._address.url(place))
        if _judged(answer, None).kind is not AnswerKind.PICTURE:
            return False
        self._pace.note_success()
        return True

    def _wait_after(self, answer: Answer, judged: JudgedAnswer, attempts: int, strikes: int) -> bool:
        """Wait before another request, or return True to give the tile up."""
        if self._pace.note_failure():
            _log.info("%s: %s; it is asked again", self._address.server, judged.what)
        failure = Failure(
            attempts=attempts,
            retry_after_s=answer.retry_after_s,
            is_throttled=answer.status in _THROTTLED,
            has_answered=self._pace.has_answered,
            strikes=strikes,
            silent_for_s=self._pace.silent_for_s(),
        )
        decision = after_failure(failure, self._draw(), self._limits)
        if decision is GiveUp.RUN:
            wait = f", and asks to wait {answer.retry_after_s:g} s" if answer.retry_after_s else ""
            raise self._stopped(f"does not answer: {judged.what}{wait}", _AGAIN)
        if isinstance(decision, GiveUp):
            return True
        if decision.everybody:
            self._pace.pause_everybody(decision.wait_s)
        else:
            self._pace.sleep(decision.wait_s)
        return False

    def _settled(
        self, place: TilePlace, answer: Answer, judged: JudgedAnswer, decoded: Collection[TilePlace]
    ) -> ReadPlace:
        if judged.kind is AnswerKind.REFUSED:
            told = (
                "renew the token" if self._address.token else "ask the server's owner, or name a --token-file"
            )
            raise self._stopped(f"refuses this client ({judged.what})", f"{told}, then {_AGAIN}")
        self._pace.note_success()
        if judged.kind is AnswerKind.GARBAGE:
            self._count_garbage(judged.what)
            return ImageryPlaceError(
                f"{self._address.shown(place)}: its answer is {judged.what}",
                place=place,
                kind=judged.what,
                remedy="look at what the server answers there",
            )
        made = self._picture(place, answer.body, decoded) if judged.kind is AnswerKind.PICTURE else None
        if isinstance(made, ImageryPlaceError):
            self._count_garbage(made.kind)
            return made
        with self._counts:
            self._garbage_in_a_row = 0
            if judged.kind is AnswerKind.PICTURE:
                self._came = place
                self._pictures += 1
                self._bytes += len(answer.body)
        if judged.kind is AnswerKind.UNCHANGED:
            return Unchanged.UNCHANGED
        return attrs.evolve(made, version=answer.version) if isinstance(made, ImageryTile) else made

    def _count_garbage(self, what: str) -> None:
        """Raise `ImagerySourceError` where too many answers in a row were no tile."""
        with self._counts:
            self._garbage_in_a_row += 1
            count = self._garbage_in_a_row
            most = self._limits.garbage_in_a_row if self._pictures else self._limits.garbage_at_first
        if count >= most:
            raise self._stopped(
                f"answered {count} times in a row without a tile, at last with {what}",
                "look at its answer in a browser, and check the address and the token",
            )

    def _stopped(self, what: str, remedy: str) -> ImagerySourceError:
        """The run is over for every request; nothing more is sent."""
        with self._counts:
            if self._stop_error is None:
                self._stop_error = ImagerySourceError(f"{self._address.server} {what}", remedy=remedy)
        self._pace.stopping.set()
        return self._stop_error


def _judged(answer: Answer, version: str | None) -> JudgedAnswer:
    if answer.problem is not None:
        return JudgedAnswer(AnswerKind.FAILED, answer.problem)
    if answer.garbage is not None:
        return JudgedAnswer(AnswerKind.GARBAGE, answer.garbage)
    return judge_answer(answer.status, answer.body, is_conditional=version is not None)
