"""Tiles that a query found, as a list of entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import attrs

from .catalogue_entries import CatalogueEntry, Keys
from .tiles import TileId


def read_only(keys: Keys) -> Keys:
    """A view of `keys` that refuses writes."""
    view: Keys = keys.view()
    view.flags.writeable = False
    return view


@attrs.frozen(eq=False)
class ListedMatches(Sequence[CatalogueEntry]):
    """See `CatalogueMatches`: entries that were made already, and their keys."""

    _keys: Keys = attrs.field(converter=read_only)
    _entries: list[CatalogueEntry]

    @property
    def keys(self) -> Keys:
        return self._keys

    def tile_ids(self) -> list[TileId]:
        return [entry.tile_id for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, position: int) -> CatalogueEntry: ...

    @overload
    def __getitem__(self, position: slice) -> list[CatalogueEntry]: ...

    def __getitem__(self, position: int | slice) -> CatalogueEntry | list[CatalogueEntry]:
        return self._entries[position]

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return iter(self._entries)
