"""The tiles that are described, those of the store or of the base in use, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...domain.describe_tiles import TileSupply
from ...domain.policies.index_agreement import ChangedTiles, changed_tiles
from ...domain.values.catalogue_entries import CatalogueColumns, Keys
from ...domain.values.tile_key import VariantTable
from .sealing_parts import SealingParts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DescribingParts(SealingParts):
    """What `aerotile describe` reads, and what `aerotile index build` compares with its descriptors."""

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

    def changed_tiles(
        self, described: Keys, variants: VariantTable, digests: npt.NDArray[np.uint8]
    ) -> ChangedTiles:
        """Compare the bytes that were described with those that can be read; see `changed_tiles`.

        Opens no store. Raises `StoreUnavailableError`, `BaseUnavailableError`.
        """
        layers = [self._columns_of_base()] if self.flies_by_base else []
        if self.config.has_store:
            layers.append(self.rows.catalogue())
        return changed_tiles(described, variants, digests, layers)

    def _columns_of_base(self) -> tuple[CatalogueColumns, VariantTable]:
        columns = CatalogueColumns.of_table(self.mapped_base.checked_facts())
        return columns, self.mapped_base.signed.manifest.variants

    def recall_identity(self) -> str:
        """The digest of the recall list in force; empty without one. Raises `RecallListError`."""
        in_force = self.recall_lists.read()
        return "" if in_force is None else in_force.identity
