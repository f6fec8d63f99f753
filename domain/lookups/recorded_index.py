"""A descriptor index whose lookups are on the flight record."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..errors import TileCacheError
from ..flight_events import EventKind, FlightEvent
from ..ports.flight_recorder import FlightRecorder
from ..values.areas import Area
from ..values.descriptors import IndexMetadata, SearchHit
from ..values.lookups import LISTED_HITS, Lookup
from ..values.tiles import TileId
from .searchable_index import IndexInFront, SearchableIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class KnownContents(Protocol):
    """The call to a store that names the contents of a lookup's hits; see `ReadableTiles`."""

    def content_sha256(self, tile_id: TileId) -> str | None: ...


class RecordsLater(FlightRecorder, Protocol):
    """A recorder that also takes events which are yet to be made, at no cost to its caller."""

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        """As `record`, of the event that `make` gives. `make` is called once, maybe on another thread."""


class RecordedHits(list[SearchHit]):
    """The hits of a lookup that is on the flight record under the name `lookup`."""

    lookup: str


class RecordedIndex(IndexInFront):
    """A `DescriptorIndex` that hands each lookup to a flight recorder. Implements the optional abilities too.

    The caller's thread copies the query and asks the store for the digests of the hits; everything else is
    done on the recorder's thread. `store()` is the store in use, or None while none is open.
    """

    def __init__(
        self,
        index: SearchableIndex,
        recorder: RecordsLater,
        *,
        run: str,
        store: Callable[[], KnownContents | None],
        keep_query: bool,
    ) -> None:
        """`run` names this process on the record. `keep_query`: the query itself, not its digest alone."""
        super().__init__(index)
        self._recorder = recorder
        self._run = run
        self._store = store
        self._keep_query = keep_query
        self._sequence = itertools.count(1)

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """See `DescriptorIndex`."""
        return self._recorded(self._index.search, descriptor, k)

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`."""
        return self._recorded(self._index.search_within, descriptor, k, area)

    def _recorded(
        self,
        search: Callable[..., list[SearchHit]],
        descriptor: npt.NDArray[np.float32],
        k: int,
        *area: Area,
    ) -> list[SearchHit]:
        """`area` as it is given to `search`: one or none."""
        index = self._index
        metadata, hits = index.metadata(), search(descriptor, k, *area)
        while (after := index.metadata()) is not metadata and after.sha256 != metadata.sha256:
            metadata, hits = after, search(descriptor, k, *area)  # another generation answered
        sequence = next(self._sequence)
        store = self._store()
        listed = hits[:LISTED_HITS]  # no more than these may wait in the recorder's queue
        self._recorder.record_later(
            partial(
                _event,
                self._run,
                sequence,
                descriptor.astype("<f4", copy=False).tobytes(),
                self._keep_query,
                k,
                area[0] if area else None,
                metadata,
                listed,
                len(hits),
                None if store is None else _contents(store, listed),
            )
        )
        found = RecordedHits(hits)
        found.lookup = f"{self._run}-{sequence}"
        return found


def _contents(store: KnownContents, listed: list[SearchHit]) -> list[str | None]:
    """The content of each listed hit, as the store knows it now."""
    content_sha256 = store.content_sha256
    try:
        return [content_sha256(hit.tile_id) for hit in listed]
    except TileCacheError:  # damaged facts of a base; the read of the tile reports them
        return [_content(store, hit.tile_id) for hit in listed]


def _content(store: KnownContents, tile_id: TileId) -> str | None:
    try:
        return store.content_sha256(tile_id)
    except TileCacheError:
        return None


def _event(
    run: str,
    sequence: int,
    query: bytes,
    keep_query: bool,
    k: int,
    near: Area | None,
    metadata: IndexMetadata,
    listed: list[SearchHit],
    hit_count: int,
    contents: list[str | None] | None,
) -> FlightEvent:
    """The lookup as it is recorded."""
    lookup = Lookup(
        run=run,
        sequence=sequence,
        query=query if keep_query else None,
        query_sha256=hashlib.sha256(query).hexdigest(),
        k=int(k),
        near=near,
        generation=metadata.generation,
        index_sha256=metadata.sha256,
        hits=tuple(listed),
        hit_count=hit_count,
        contents=None if contents is None else tuple(contents),
    )
    return FlightEvent(EventKind.LOOKUP, "graph" if near is None else "area", lookup.to_payload())
