"""The tiles that are described: those of the store, or of the base in use."""

from __future__ import annotations

from ...domain.describe_tiles import TileSupply
from ...domain.values.catalogue_entries import CatalogueColumns
from ...domain.values.tile_key import VariantTable
from .sealing_parts import SealingParts


class DescribingParts(SealingParts):
    """What `aerotile describe` reads."""

    def tiles_to_describe(self, *, of_base: bool) -> tuple[CatalogueColumns, VariantTable, TileSupply]:
        """The tiles with their facts, and where their pictures come from.

        Raises `StoreUnavailableError`, `BaseUnavailableError`, `RecallListError`.
        """
        from ..simplejpeg.pictures import decode_tile_picture

        size = self.config.tiles.tile_size_pixels
        if of_base:
            columns, variants = self._columns_of_base()
            read = self.sealed_store.read_tile_bytes
        else:
            columns, variants = self.rows.catalogue()
            read = self.tile_store.read_tile_bytes
        return (
            columns,
            variants,
            TileSupply(read_bytes=read, decode=lambda pixels: decode_tile_picture(pixels, size)),
        )

    def recall_identity(self) -> str:
        """The digest of the recall list in force; empty without one. Raises `RecallListError`."""
        in_force = self.recall_lists.read()
        return "" if in_force is None else in_force.identity
