"""The descriptor index of a flight, with its lookups on the flight record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.lookups.recalled_index import RecalledIndex, TileFacts
from ...domain.lookups.recorded_index import RecordedIndex
from ...domain.lookups.searchable_index import SearchableIndex
from ...domain.store.recall_guard import RecallGuard
from ...domain.values.tiles import TileId
from ..config.settings import RecordLookups
from .sealing_parts import SealingParts

if TYPE_CHECKING:
    from ..sealed_base.contents import SealedContents
    from ..sealed_base.mapped_base import MappedBase


@attrs.frozen
class _LayeredContents:
    """The contents of the first layer that holds a tile."""

    layers: tuple[TileFacts, ...]

    def captured_us(self, tile_id: TileId) -> int | None:
        found = (layer.captured_us(tile_id) for layer in self.layers)
        return next((captured_us for captured_us in found if captured_us is not None), None)

    def content_sha256(self, tile_id: TileId) -> str | None:
        found = (layer.content_sha256(tile_id) for layer in self.layers)
        return next((sha256 for sha256 in found if sha256 is not None), None)


class LookupParts(SealingParts):
    """Lookups: the index and the store together."""

    _looked_up: TileFacts | None = None

    @cached_property
    def index_in_use(self) -> SearchableIndex:
        """The index that a flight searches. Raises as `searched_index` does."""
        index = RecalledIndex(self.searched_index, self.part("recalls"), store=self._opened_store)
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

    def _opened_store(self) -> TileFacts | None:
        """The store that this runtime has opened; a lookup opens none. Or the facts that a tool looked up."""
        parts = self.__dict__
        opened: TileFacts | None = parts.get("store_in_use")
        if opened is None:
            opened = parts.get("sealed_store", self._looked_up)
        return opened

    def look_up_recalled(self) -> None:
        """For a tool that searches and opens no store: have what the recall list in force names tiles by.

        Asks the database for the catalogue only where the list names digests or capture times. Raises
        as `known_contents` does.
        """
        in_force = self.recall_lists.read()
        if in_force is not None and in_force.recalls.needs_facts:
            self._looked_up = self.known_contents()

    def known_contents(self, base: Path | None = None) -> TileFacts:
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

    def _content_layers(self, base: Path | None) -> Iterator[TileFacts]:
        if base is not None or self.flies_by_base:
            yield self._sealed_contents(base)
        if base is None and self.config.has_store:
            yield self._stored_contents()

    def _stored_contents(self) -> TileFacts:
        from ...ext import CompiledTileCatalogue

        catalogue = CompiledTileCatalogue()
        catalogue.load(*self.rows.catalogue())
        return catalogue

    def _sealed_contents(self, folder: Path | None) -> SealedContents:
        from ..sealed_base.contents import SealedContents

        return SealedContents(self._base_in(folder))

    def index_to_repeat(self, facts: TileFacts, base: Path | None = None) -> SearchableIndex:
        """The index that a flight searches, or that of the base in use in the folder `base`, if it has one.

        The recall list in force is heeded, by the `facts` of the tiles; nothing is recorded. Raises as
        `searched_index` does.
        """
        sealed = None if base is None else self._index_of(self._base_in(base))
        recalls = RecallGuard(self.recall_lists, lambda event: None)
        return RecalledIndex(self.searched_index if sealed is None else sealed, recalls, store=lambda: facts)

    def replayed_base(self, base: Path | None = None) -> tuple[str, str] | None:
        """The generation and the SHA-256 of the manifest of the base that `known_contents` takes, if any."""
        if base is None and not self.flies_by_base:
            return None
        signed = self._base_in(base).signed
        return signed.manifest.name, signed.identity

    def _base_in(self, folder: Path | None) -> MappedBase:
        """The base in use in a folder of bases, by default the configured one; it is not recorded."""
        from ..sealed_base.mapped_base import open_current_base

        return open_current_base(
            self.config.base_folder if folder is None else folder,
            self.base_trust,
            require_signature=self.config.base.require_signature,
        )
