"""The tile catalogue in sorted numpy arrays: for stores in memory, and the reference of the compiled one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.values.catalogue_entries import (
    EVICTABLE,
    MAX_DISK_BYTES,
    CatalogueColumns,
    CatalogueEntry,
    CatalogueMatches,
    EvictionCandidate,
    Keys,
)
from ...domain.values.disk_usage import footprint
from ...domain.values.listed_matches import ListedMatches, read_only
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_key import (
    FIRST_FLIGHT_ORDINAL,
    MAX_FLIGHTS,
    MAX_VARIANTS,
    MORTON_BITS,
    VARIANT_BITS,
    VariantTable,
    decode_tile_key,
    encode_tile_key,
    morton,
)
from ...domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from ...domain.values.validators import check_kind

_MERGE_AT = 4_096
"""How many changes are buffered before they are merged into the arrays."""
_COLUMN_BITS = 0x5555_5555_5555
"""The bits of a position on the curve that belong to x."""


@attrs.frozen(eq=False)
class _State:
    """One consistent view. A merge of changes replaces the whole view."""

    columns: CatalogueColumns
    """Sorted by key."""
    variants: VariantTable
    changes: dict[int, CatalogueColumns | None]
    """By key: the one row of a tile added since, or None for a tile removed since."""

    def row(self, key: int) -> CatalogueColumns | None:
        """The tile's row as columns of length 1, or None."""
        if key in self.changes:
            return self.changes[key]
        position = int(np.searchsorted(self.columns.keys, key))
        if position == len(self.columns) or self.columns.keys[position] != key:
            return None
        return self.columns.at(slice(position, position + 1))

    def merged(self) -> _State:
        """The same with no changes pending."""
        if not self.changes:
            return self
        untouched = ~np.isin(self.columns.keys, np.fromiter(self.changes, np.int64, len(self.changes)))
        added = [row for row in self.changes.values() if row is not None]
        return _State(_sorted([self.columns.at(untouched), *added]), self.variants, {})


class MemoryTileCatalogue:
    """See `TileCatalogue`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _State(CatalogueColumns.of([], VariantTable()), VariantTable(), {})
        self._count = 0
        self._total_bytes = 0
        self._latest_capture_us = 0
        self._latest_access_us = 0
        self._mark = 0
        self._touched: set[TileId] | None = None
        """The tiles added or removed since the last mark; None when no reload is under way."""

    def load(self, columns: CatalogueColumns, variants: VariantTable, *, since: int | None = None) -> None:
        columns.check(variants)
        loaded = _State(_sorted([columns]), variants, {})
        with self._lock:
            if since is not None:
                if since != self._mark or self._touched is None:
                    raise ValueError(f"mark {since!r} is not the last one, or was used for a load already")
                loaded = self._with_changes_on_top(loaded, self._touched)
            self._touched = None
            self._state = loaded
            self._count = len(loaded.columns)
            self._total_bytes = int(loaded.columns.disk_bytes.sum())
            self._note_latest(columns)

    def _with_changes_on_top(self, loaded: _State, touched: set[TileId]) -> _State:
        before = self._state.merged()
        variants = loaded.variants.extended(touched)
        changes: dict[int, CatalogueColumns | None] = {}
        for position, old_key in enumerate(before.columns.keys.tolist()):
            tile_id = decode_tile_key(old_key, before.variants)
            key = _key(tile_id, variants)
            known = None if key is None else loaded.row(key)
            if key is None or (known is None and tile_id not in touched):
                continue
            row = before.columns.at(slice(position, position + 1))
            kept = row if known is None or tile_id in touched else known
            accessed_us = row.accessed_us if known is None else np.maximum(row.accessed_us, known.accessed_us)
            changes[key] = attrs.evolve(kept, keys=np.array([key], np.int64), accessed_us=accessed_us)
        for tile_id in touched:
            changes.setdefault(encode_tile_key(tile_id, variants), None)
        return attrs.evolve(loaded, variants=variants, changes=changes).merged()

    def mark(self) -> int:
        with self._lock:
            self._mark += 1
            self._touched = set()
            return self._mark

    def add(self, row: TileMetadataPersistent) -> bool:
        with self._lock:
            return self._add(row)

    def _add(self, row: TileMetadataPersistent) -> bool:
        variants = self._state.variants.extended([row.tile_id])
        if variants is not self._state.variants:
            self._state = attrs.evolve(self._state, variants=variants)
        new = CatalogueColumns.of([row], variants)
        key = int(new.keys[0])
        known = self._state.row(key)
        if known is not None:
            new = attrs.evolve(new, accessed_us=np.maximum(new.accessed_us, known.accessed_us))
        self._change(row.tile_id, key, known, new)
        self._note_latest(new)
        return known is None or not np.array_equal(known.content_sha256, new.content_sha256)

    def can_name(self, tile_id: TileId, beside: Collection[UUID] = ()) -> bool:
        check_kind(tile_id, TileId, "tile_id")
        variants = self._state.variants
        if _key(tile_id, variants) is not None or tile_id.flight_id in beside:
            return True
        return len({*variants.flights, *beside}) < MAX_FLIGHTS

    def remove(self, tile_id: TileId) -> bool:
        with self._lock:
            if self._touched is not None:
                self._touched.add(tile_id)
            key = _key(tile_id, self._state.variants)
            known = None if key is None else self._state.row(key)
            if key is None or known is None:
                return False
            self._change(tile_id, key, known, None)
            return True

    def _note_latest(self, columns: CatalogueColumns) -> None:
        self._latest_capture_us = int(columns.captured_us.max(initial=self._latest_capture_us))
        self._latest_access_us = int(columns.accessed_us.max(initial=self._latest_access_us))

    def _change(
        self, tile_id: TileId, key: int, known: CatalogueColumns | None, new: CatalogueColumns | None
    ) -> None:
        self._count += (new is not None) - (known is not None)
        self._total_bytes += _bytes_of(new) - _bytes_of(known)
        self._state.changes[key] = new
        if self._touched is not None:
            self._touched.add(tile_id)
        if len(self._state.changes) >= _MERGE_AT:
            self._state = self._state.merged()

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int] | Keys) -> None:
        if len(tile_ids) != len(accessed_us):
            raise ValueError(f"{len(tile_ids)} tiles were read, but at {len(accessed_us)} times")
        with self._lock:
            for tile_id, moment in zip(tile_ids, accessed_us, strict=True):
                key = _key(tile_id, self._state.variants)
                known = None if key is None else self._state.row(key)
                if key is not None and known is not None and known.accessed_us < moment:
                    self._latest_access_us = max(self._latest_access_us, int(moment))
                    accessed = np.array([moment], np.int64)
                    self._state.changes[key] = attrs.evolve(known, accessed_us=accessed)

    def lru_candidates(self, limit: int, *, onboard_only: bool = False) -> list[EvictionCandidate]:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, got {limit!r}")
        state = self._merged()
        evictable = state.columns.at(_evictable(state.columns, onboard_only))
        first = evictable.at(np.argsort(evictable.accessed_us, kind="stable")[:limit])
        return [
            EvictionCandidate(decode_tile_key(key, state.variants), disk_bytes)
            for key, disk_bytes in zip(first.keys.tolist(), first.disk_bytes.tolist(), strict=True)
        ]

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        span = GridRange.covering(bbox, zoom_level)
        state = self._merged()
        first = TileId(zoom_level, span.min_x, span.min_y, TileSource.SATELLITE_PROVIDER)
        last = TileId(zoom_level, span.max_x, span.max_y, TileSource.SATELLITE_PROVIDER)
        keys = state.columns.keys
        behind = encode_tile_key(last, state.variants) + MAX_VARIANTS
        low, high = np.searchsorted(keys, [encode_tile_key(first, state.variants), behind])
        # The bits of x alone, and of y alone, sort on the curve as x and y do, so no key is decoded.
        curve = (keys[low:high] >> VARIANT_BITS) & ((1 << MORTON_BITS) - 1)
        columns, rows = curve & _COLUMN_BITS, curve & ~_COLUMN_BITS
        inside = (columns >= morton(span.min_x, 0)) & (columns <= morton(span.max_x, 0))
        inside &= (rows >= morton(0, span.min_y)) & (rows <= morton(0, span.max_y))
        found = state.columns.at(low + np.flatnonzero(inside))
        tile_ids = [decode_tile_key(key, state.variants) for key in found.keys.tolist()]
        return ListedMatches(found.keys, [found.entry(row, each) for row, each in enumerate(tile_ids)])

    def _merged(self) -> _State:
        with self._lock:
            self._state = self._state.merged()
            return self._state

    def snapshot(self) -> tuple[Keys, VariantTable]:
        state = self._merged()
        return read_only(state.columns.keys), state.variants

    def get(self, tile_id: TileId) -> CatalogueEntry | None:
        row = self._row(tile_id)
        return None if row is None else row.entry(0, tile_id)

    def captured_us(self, tile_id: TileId) -> int | None:
        row = self._row(tile_id)
        return None if row is None else int(row.captured_us[0])

    def content_sha256(self, tile_id: TileId) -> str | None:
        row = self._row(tile_id)
        return None if row is None else row.content_sha256[0].tobytes().hex()

    def __contains__(self, tile_id: TileId) -> bool:
        return self._row(tile_id) is not None

    def _row(self, tile_id: TileId) -> CatalogueColumns | None:
        check_kind(tile_id, TileId, "tile_id")
        state = self._state
        key = _key(tile_id, state.variants)
        return None if key is None else state.row(key)

    def latest_capture_us(self) -> int:
        return self._latest_capture_us

    def latest_access_us(self) -> int:
        return self._latest_access_us

    def total_disk_bytes(self) -> int:
        return self._total_bytes

    def footprint_bytes(self, *, onboard_only: bool = False) -> int:
        """See `TileCatalogue`; counted here, where the compiled catalogue keeps a number."""
        columns = self._merged().columns
        return _footprints(columns.disk_bytes[_onboard(columns)] if onboard_only else columns.disk_bytes)

    def evictable_bytes(self, *, onboard_only: bool = False) -> int:
        """See `TileCatalogue`; counted here, where the compiled catalogue keeps a number."""
        columns = self._merged().columns
        return _footprints(columns.disk_bytes[_evictable(columns, onboard_only)])

    def __len__(self) -> int:
        return self._count


def _key(tile_id: TileId, variants: VariantTable) -> int | None:
    """The tile's key, or None for a flight that `variants` does not name."""
    try:
        return encode_tile_key(tile_id, variants)
    except KeyError:
        return None


def _footprints(disk_bytes: npt.NDArray[np.int64]) -> int:
    return sum(map(footprint, disk_bytes.tolist()))


def _onboard(columns: CatalogueColumns) -> npt.NDArray[np.bool_]:
    onboard: npt.NDArray[np.bool_] = (columns.keys & (MAX_VARIANTS - 1)) >= FIRST_FLIGHT_ORDINAL
    return onboard


def _evictable(columns: CatalogueColumns, onboard_only: bool) -> npt.NDArray[np.bool_]:
    evictable: npt.NDArray[np.bool_] = (columns.flags & EVICTABLE) != 0
    return evictable & _onboard(columns) if onboard_only else evictable


def _sorted(parts: list[CatalogueColumns]) -> CatalogueColumns:
    """All rows in the order of their keys; of a key that occurs more than once, the last row."""
    joined = CatalogueColumns.joined(parts)
    order = np.argsort(joined.keys, kind="stable")
    keys = joined.keys[order]
    columns = joined.at(order[np.append(keys[1:] != keys[:-1], True)[: len(keys)]])
    return attrs.evolve(columns, disk_bytes=np.clip(columns.disk_bytes, 0, MAX_DISK_BYTES))


def _bytes_of(row: CatalogueColumns | None) -> int:
    return 0 if row is None else int(row.disk_bytes[0])
