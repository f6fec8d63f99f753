"""The descriptor index of a flight, with its lookups on the flight record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.lookups.recorded_index import KnownContents, RecordedIndex, SearchableIndex
from ...domain.values.catalogue_entries import CatalogueEntry
from ...domain.values.tiles import TileId
from ..config.settings import RecordLookups
from .sealing_parts import SealingParts

if TYPE_CHECKING:
    from ..sealed_base.mapped_base import MappedBase


@attrs.frozen
class _LayeredContents:
    """The contents of the first layer that holds a tile."""

    layers: tuple[KnownContents, ...]

    def content_sha256(self, tile_id: TileId) -> str | None:
        for layer in self.layers:
            content = layer.content_sha256(tile_id)
            if content is not None:
                return content
        return None


@attrs.frozen
class _StoredContents:
    """The contents of the committed tiles, as one snapshot of the rows."""

    get: Callable[[TileId], CatalogueEntry | None]

    def content_sha256(self, tile_id: TileId) -> str | None:
        entry = self.get(tile_id)
        return None if entry is None else entry.content_sha256


class LookupParts(SealingParts):
    """Lookups: the index and the store together."""

    @cached_property
    def index_in_use(self) -> SearchableIndex:
        """The index that a flight searches. Raises as `searched_index` does."""
        index = self.searched_index
        lookups = self.config.record.lookups
        if lookups is RecordLookups.OFF:
            return index
        return RecordedIndex(
            index,
            self.recorder,
            run=uuid4().hex[:8],
            store=self._opened_store,
            keep_query=lookups is RecordLookups.FULL,
        )

    def _opened_store(self) -> KnownContents | None:
        """The store that this runtime has opened; a lookup opens none."""
        opened: KnownContents | None = vars(self).get("store_in_use", vars(self).get("sealed_store"))
        return opened

    def known_contents(self, base: Path | None = None) -> KnownContents:
        """What the base and the store of the configuration hold now, or the base in use in the folder `base`.

        No store is opened, no tile is read, and nothing is recorded. Raises `BaseUnavailableError`,
        `StoreUnavailableError`, also where there is neither base nor store.
        """
        layers = tuple(self._content_layers(base))
        if not layers:
            raise StoreUnavailableError(
                f"{self.config.root} holds neither a store nor a base in use",
                remedy="name the base that was flown with --base, or correct --root",
            )
        return _LayeredContents(layers)

    def _content_layers(self, base: Path | None) -> Iterator[KnownContents]:
        from ..sealed_base.contents import SealedContents

        if base is not None or self.flies_by_base:
            yield SealedContents(self._base_in(base))
        if base is None and self.config.has_store:
            from ...ext import CompiledTileCatalogue

            catalogue = CompiledTileCatalogue()
            catalogue.load(*self.rows.catalogue())
            yield _StoredContents(catalogue.get)

    def index_to_repeat(self, base: Path | None = None) -> SearchableIndex:
        """The index that a flight searches, or that of the base in use in the folder `base`, if it has one.

        Raises as `searched_index` does.
        """
        sealed = None if base is None else self._index_of(self._base_in(base))
        return self.searched_index if sealed is None else sealed

    def _base_in(self, folder: Path | None) -> MappedBase:
        """The base in use in a folder of bases, by default the configured one; it is not recorded."""
        from ..sealed_base.mapped_base import open_current_base

        return open_current_base(
            self.config.base_folder if folder is None else folder,
            self.base_trust,
            require_signature=self.config.base.require_signature,
        )
