"""The descriptor index of a flight, with its lookups on the flight record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.lookups.recorded_index import KnownContents, RecordedIndex, SearchableIndex
from ...domain.values.catalogue_entries import CatalogueEntry
from ...domain.values.tiles import TileId
from ..config.settings import RecordLookups
from .base_parts import BaseParts
from .index_parts import IndexParts


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


class LookupParts(BaseParts, IndexParts):
    """Lookups: the index and the store together."""

    @cached_property
    def index_in_use(self) -> SearchableIndex:
        """The index that a flight searches. Raises as `descriptor_index` does."""
        index = self.descriptor_index
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
        config = self.config
        has_store = config.has_store
        if base is not None or config.base.layered or not has_store:
            folder = config.base_folder if base is None else base
            if base is not None or config.base.layered or self.base_generations.current() is not None:
                yield self._sealed_contents(folder)
        if base is None and has_store:
            from ...ext import CompiledTileCatalogue

            catalogue = CompiledTileCatalogue()
            catalogue.load(*self.rows.catalogue())
            yield _StoredContents(catalogue.get)

    def _sealed_contents(self, folder: Path) -> KnownContents:
        from ..sealed_base.contents import SealedContents
        from ..sealed_base.mapped_base import open_current_base

        require = self.config.base.require_signature
        return SealedContents(open_current_base(folder, self.base_trust, require_signature=require))
