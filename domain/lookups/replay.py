"""Lookups of a flight record, repeated: the same answer, or what differs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import zip_longest

import attrs
import numpy as np

from ..errors import AerotileError
from ..flight_events import EventKind, RecordEnvelope
from ..values.descriptors import SearchHit
from ..values.lookups import Lookup
from .recorded_index import KnownContents
from .searchable_index import SearchableIndex

TOLERANCE = 1e-5
"""How far a distance may be off, absolute and relative: processors add up in different orders."""
LISTED_DIFFERENCES = 5


class NotReplayed(str, Enum):
    """Why a lookup can't be repeated."""

    DIGEST_ONLY = "digest only"
    """The record has the query's digest, not the query."""
    NO_CONTENTS = "no store open"
    """The process that asked had no store open, so the record has no contents to compare."""
    UNREADABLE = "unreadable"
    """The event is no lookup of this program's."""
    THINNED = "thinned"
    """It is not on the record: there was no allowance of bytes for it."""


@attrs.frozen
class ReplayedLookup:
    """One lookup of a record."""

    name: str
    not_replayed: NotReplayed | None = None
    differences: tuple[str, ...] = ()
    """What differs, at most `LISTED_DIFFERENCES` hits; none: the answer is the same."""
    recorded_index: str | None = None
    """The SHA-256 of the index that answered then."""
    replayed_index: str | None = None
    """The SHA-256 of the index that answered now."""

    @property
    def is_same(self) -> bool:
        """Whether it was repeated with the same answer."""
        return self.not_replayed is None and not self.differences


def replay_lookups(
    events: Iterable[RecordEnvelope], index: SearchableIndex, store: KnownContents
) -> Iterator[tuple[ReplayedLookup, int]]:
    """Repeat each lookup of a record, in its order, each with the number of lookups that it stands for.

    Two answers are the same when they name the same tiles with the same contents in the same order, with
    distances within `TOLERANCE`. Contents are those that `store` knows; no tile is read.
    """
    for event in events:
        if event.kind == EventKind.LOOKUP_THINNED.value:
            yield ReplayedLookup("-", NotReplayed.THINNED), int(event.payload.get("count", 1))
        elif event.kind == EventKind.LOOKUP.value:
            try:
                lookup = Lookup.from_payload(event.payload)
            except ValueError:
                yield ReplayedLookup(str(event.payload.get("lookup", "?")), NotReplayed.UNREADABLE), 1
                continue
            yield _replayed(lookup, index, store), 1


def _replayed(lookup: Lookup, index: SearchableIndex, store: KnownContents) -> ReplayedLookup:
    if lookup.query is None:
        return ReplayedLookup(lookup.name, NotReplayed.DIGEST_ONLY)
    if lookup.contents is None:
        return ReplayedLookup(lookup.name, NotReplayed.NO_CONTENTS)
    query = np.frombuffer(lookup.query, "<f4").astype(np.float32)
    sha256 = index.metadata().sha256
    try:
        if lookup.near is None:
            hits = index.search(query, lookup.k)
        else:
            hits = index.search_within(query, lookup.k, lookup.near)
    except (AerotileError, ValueError) as error:
        return ReplayedLookup(lookup.name, None, (f"the search fails: {error}",), lookup.index_sha256, sha256)
    differences = tuple(_differences(lookup, hits, store))
    return ReplayedLookup(lookup.name, None, differences, lookup.index_sha256, sha256)


def _differences(lookup: Lookup, hits: list[SearchHit], store: KnownContents) -> Iterator[str]:
    if len(hits) != lookup.hit_count:
        yield f"{len(hits)} hits in place of {lookup.hit_count}"
    told = 0
    assert lookup.contents is not None
    for rank, (hit, content, now) in enumerate(
        zip_longest(lookup.hits, lookup.contents, hits[: len(lookup.hits)]), 1
    ):
        if now is None:
            return
        difference = _difference(hit, content, now, store.content_sha256(now.tile_id))
        if difference is None:
            continue
        told += 1
        if told > LISTED_DIFFERENCES:
            yield "and further hits"
            return
        yield f"hit {rank} is {difference}"


def _difference(hit: SearchHit, content: str | None, now: SearchHit, content_now: str | None) -> str | None:
    if now.tile_id != hit.tile_id:
        return f"{now.tile_id} in place of {hit.tile_id}"
    if content_now != content:
        return f"{now.tile_id} with content {content_now or 'unknown'} in place of {content or 'unknown'}"
    if not math.isclose(now.distance, hit.distance, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return f"{now.tile_id} at {now.distance:.7g} in place of {hit.distance:.7g}"
    return None
