"""The catalogue: what this process knows about committed tiles, so that reads need no database.

Rows loaded at open lie in sorted arrays; what changed since lies in a small overlay that is merged into the
arrays when it has grown.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

import attrs
import numpy as np
import numpy.typing as npt

from .tile_key import VariantTable, encode_tile_key
from .tiles import TileId, TileMetadataPersistent

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_CHUNK = 65_536
"""Rows gathered before they become arrays, and changes gathered before they are merged."""

Keys = npt.NDArray[np.int64]


@attrs.frozen
class CatalogueEntry:
    """What a lookup needs to know of a tile."""

    captured_at: datetime
    disk_bytes: int


@attrs.frozen(eq=False)
class _Arrays:
    """Sorted keys with the facts of each beside it: 24 bytes a tile."""

    keys: Keys
    captured_us: npt.NDArray[np.int64]
    disk_bytes: npt.NDArray[np.int64]

    @classmethod
    def empty(cls) -> _Arrays:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))

    def position(self, key: int) -> int | None:
        place = int(np.searchsorted(self.keys, key))
        return place if place < len(self.keys) and self.keys[place] == key else None


@attrs.define(eq=False)
class _State:
    """One consistent view; replaced as a whole when changes are merged."""

    arrays: _Arrays
    changes: dict[int, CatalogueEntry | None]
    """By key: an entry added since, or None for a tile removed since."""


class TileCatalogue:
    """Committed tiles by tile key. Any number of threads may read while others change it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._variants = VariantTable()
        self._state = _State(_Arrays.empty(), {})
        self._count = 0

    def load(self, rows: Iterable[TileMetadataPersistent]) -> None:
        """Replace everything by `rows`, holding at most one chunk of them in memory at a time."""
        with self._lock:
            parts: list[_Arrays] = []
            chunk: list[TileMetadataPersistent] = []
            for row in rows:
                chunk.append(row)
                if len(chunk) == _CHUNK:
                    parts.append(self._arrays_of(chunk))
                    chunk = []
            parts.append(self._arrays_of(chunk))
            arrays = _sorted(parts)
            self._state = _State(arrays, {})
            self._count = len(arrays.keys)

    def add(self, row: TileMetadataPersistent) -> None:
        """Note a committed tile."""
        with self._lock:
            self._variants = self._variants.extended([row.tile_id])
            key = encode_tile_key(row.tile_id, self._variants)
            if not self._holds(key):
                self._count += 1
            self._change(key, CatalogueEntry(row.captured_at, row.disk_bytes))

    def remove(self, tile_id: TileId) -> None:
        """Forget a tile; an unknown one is ignored."""
        with self._lock:
            key = self.key_of(tile_id)
            if key is not None and self._holds(key):
                self._count -= 1
                self._change(key, None)

    def get(self, tile_id: TileId) -> CatalogueEntry | None:
        """What is known of a tile, or None."""
        key = self.key_of(tile_id)
        if key is None:
            return None
        state = self._state
        if key in state.changes:
            return state.changes[key]
        place = state.arrays.position(key)
        if place is None:
            return None
        captured_at = _EPOCH + int(state.arrays.captured_us[place]) * _MICROSECOND
        return CatalogueEntry(captured_at, int(state.arrays.disk_bytes[place]))

    def __contains__(self, tile_id: TileId) -> bool:
        key = self.key_of(tile_id)
        return key is not None and self._holds(key)

    def __len__(self) -> int:
        return self._count

    def snapshot(self) -> tuple[Keys, VariantTable]:
        """Every tile's key, sorted, with a table that decodes them."""
        with self._lock:
            self._merge()
            return self._state.arrays.keys, self._variants

    def key_of(self, tile_id: TileId) -> int | None:
        """The tile's key in this catalogue, or None when it holds no tile of that flight."""
        try:
            return encode_tile_key(tile_id, self._variants)
        except KeyError:
            return None

    def _holds(self, key: int) -> bool:
        state = self._state
        if key in state.changes:
            return state.changes[key] is not None
        return state.arrays.position(key) is not None

    def _change(self, key: int, entry: CatalogueEntry | None) -> None:
        self._state.changes[key] = entry
        if len(self._state.changes) >= _CHUNK:
            self._merge()

    def _merge(self) -> None:
        arrays, changes = self._state.arrays, self._state.changes
        if not changes:
            return
        untouched = ~np.isin(arrays.keys, np.fromiter(changes, np.int64, len(changes)))
        kept = _Arrays(arrays.keys[untouched], arrays.captured_us[untouched], arrays.disk_bytes[untouched])
        added = [(key, entry) for key, entry in changes.items() if entry is not None]
        new = _Arrays(
            np.array([key for key, _ in added], np.int64),
            np.array([_microseconds(entry.captured_at) for _, entry in added], np.int64),
            np.array([entry.disk_bytes for _, entry in added], np.int64),
        )
        self._state = _State(_sorted([kept, new]), {})

    def _arrays_of(self, rows: list[TileMetadataPersistent]) -> _Arrays:
        self._variants = self._variants.extended(row.tile_id for row in rows)
        return _Arrays(
            np.array([encode_tile_key(row.tile_id, self._variants) for row in rows], np.int64),
            np.array([_microseconds(row.captured_at) for row in rows], np.int64),
            np.array([row.disk_bytes for row in rows], np.int64),
        )


def _sorted(parts: list[_Arrays]) -> _Arrays:
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys)
    return _Arrays(
        keys[order],
        np.concatenate([part.captured_us for part in parts])[order],
        np.concatenate([part.disk_bytes for part in parts])[order],
    )


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
