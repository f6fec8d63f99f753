"""The tiles that a query of the catalogue in memory found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import attrs

from ...domain.values.catalogue_entries import CatalogueColumns, CatalogueEntry, Keys
from ...domain.values.tile_key import VariantTable, decode_tile_key
from ...domain.values.tiles import TileId


@attrs.frozen(eq=False)
class MemoryCatalogueMatches(Sequence[CatalogueEntry]):
    """See `CatalogueMatches`."""

    _columns: CatalogueColumns
    _variants: VariantTable

    @property
    def keys(self) -> Keys:
        """See `CatalogueMatches`."""
        return read_only(self._columns.keys)

    def tile_ids(self) -> list[TileId]:
        """See `CatalogueMatches`."""
        return [decode_tile_key(key, self._variants) for key in self._columns.keys.tolist()]

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, position: int) -> CatalogueEntry: ...

    @overload
    def __getitem__(self, position: slice) -> list[CatalogueEntry]: ...

    def __getitem__(self, position: int | slice) -> CatalogueEntry | list[CatalogueEntry]:
        if isinstance(position, slice):
            return [self[each] for each in range(len(self))[position]]
        return self._columns.entry(
            position, decode_tile_key(int(self._columns.keys[position]), self._variants)
        )

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return (self[position] for position in range(len(self)))


def read_only(keys: Keys) -> Keys:
    """A view of `keys` that refuses writes."""
    view: Keys = keys.view()
    view.flags.writeable = False
    return view
