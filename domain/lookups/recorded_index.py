"""A descriptor index whose lookups are on the flight record."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import TileCacheError
from ..flight_events import EventKind, FlightEvent
from ..ports.flight_recorder import FlightRecorder
from ..values.areas import Area
from ..values.catalogue_entries import Keys
from ..values.descriptors import IndexMetadata, SearchHit
from ..values.lookups import LISTED_HITS, Lookup
from ..values.tile_key import VariantTable
from ..values.tiles import TileId
from .searchable_index import SearchableIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class KnownContents(Protocol):
    """The call to a store that names the contents of a lookup's hits; see `ReadableTiles`."""

    def content_sha256(self, tile_id: TileId) -> str | None: ...


class RecordedHits(list[SearchHit]):
    """The hits of a lookup that is on the flight record under the name `lookup`."""

    lookup: str


class RecordedIndex:
    """A `DescriptorIndex` that hands each lookup to a flight recorder. Implements the optional abilities too.

    The caller's thread copies the query and asks the store for the digests of the hits; everything else is
    done on the recorder's thread. `store()` is the store in use, or None while none is open.
    """

    def __init__(
        self,
        index: SearchableIndex,
        recorder: FlightRecorder,
        *,
        run: str,
        store: Callable[[], KnownContents | None],
        keep_query: bool,
    ) -> None:
        """`run` names this process on the record. `keep_query`: the query itself, not its digest alone."""
        self._index = index
        self._recorder = recorder
        self._run = run
        self._store = store
        self._keep_query = keep_query
        self._sequence = itertools.count(1)

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """See `DescriptorIndex`."""
        return self._recorded(descriptor, k, None, lambda: self._index.search(descriptor, k))

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`."""
        return self._recorded(descriptor, k, area, lambda: self._index.search_within(descriptor, k, area))

    def rebuild(
        self,
        tile_ids: Sequence[TileId],
        descriptors: npt.NDArray[np.float32],
        *,
        descriptor_model: str,
        built_at: datetime,
        progress: Callable[[int, int], None] | None = None,
    ) -> IndexMetadata:
        """See `DescriptorIndex`."""
        return self._index.rebuild(
            tile_ids, descriptors, descriptor_model=descriptor_model, built_at=built_at, progress=progress
        )

    def metadata(self) -> IndexMetadata:
        """See `DescriptorIndex`."""
        return self._index.metadata()

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """See `SupportsKeyListing`."""
        return self._index.tile_keys()

    def dimension(self) -> int:
        """See `DescriptorIndex`."""
        return self._index.dimension()

    def close(self) -> None:
        """See `DescriptorIndex`."""
        self._index.close()

    def _recorded(
        self,
        descriptor: npt.NDArray[np.float32],
        k: int,
        near: Area | None,
        search: Callable[[], list[SearchHit]],
    ) -> list[SearchHit]:
        metadata = self._index.metadata()
        hits = search()
        while (after := self._index.metadata()).sha256 != metadata.sha256:  # another generation answered
            metadata, hits = after, search()
        sequence = next(self._sequence)
        query = descriptor.astype("<f4", copy=False).tobytes()
        listed, count = tuple(hits[:LISTED_HITS]), len(hits)
        store = self._store()
        contents = None if store is None else tuple([_content(store, hit.tile_id) for hit in listed])

        def payload() -> dict[str, Any]:
            return Lookup(
                run=self._run,
                sequence=sequence,
                query=query if self._keep_query else None,
                query_sha256=hashlib.sha256(query).hexdigest(),
                k=int(k),
                near=near,
                generation=metadata.generation,
                index_sha256=metadata.sha256,
                hits=listed,
                hit_count=count,
                contents=contents,
            ).to_payload()

        reason = "graph" if near is None else "area"
        self._recorder.record(FlightEvent(EventKind.LOOKUP, reason, _MadeLater(payload)))
        found = RecordedHits(hits)
        found.lookup = f"{self._run}-{sequence}"
        return found


def _content(store: KnownContents, tile_id: TileId) -> str | None:
    try:
        return store.content_sha256(tile_id)
    except TileCacheError:  # damaged facts of a base; the read of the tile reports them
        return None


class _MadeLater(Mapping[str, Any]):
    """A payload that is made when it is first asked for: on the recorder's thread."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._made: dict[str, Any] | None = None

    def _facts(self) -> dict[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self._facts()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts())

    def __len__(self) -> int:
        return len(self._facts())
