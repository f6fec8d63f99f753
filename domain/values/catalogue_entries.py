"""Values of the catalogue, which lets a process know its committed tiles without a database.

The port is `aerotile.domain.ports.tile_catalogue.TileCatalogue`. Times are microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol, overload

import attrs
import numpy as np
import numpy.typing as npt

from .tile_grid import MAX_ZOOM
from .tile_key import MAX_VARIANTS, MORTON_BITS, VARIANT_BITS, VariantTable, encode_tile_key
from .tile_rules import may_be_evicted
from .tiles import FreshnessLabel, TileId, TileMetadata, TileMetadataPersistent, VotingStatus
from .timestamps import microseconds_of, timestamp_of

DOWNGRADED, PINNED, UPLOADED, EVICTABLE = 1, 2, 4, 8
"""Bits of a tile's flags."""
VOTING_SHIFT = 4
"""Bits 4 to 6 of the flags: the place of the voting status in `VOTING_CODES`."""
VOTING_CODES: tuple[VotingStatus | None, ...] = (
    None,
    VotingStatus.PENDING,
    VotingStatus.TRUSTED,
    VotingStatus.REJECTED,
    VotingStatus.UPLOAD_GIVEUP,
)
MAX_DISK_BYTES = (1 << 40) - 1
"""The largest size that a catalogue tells apart; a row that claims more counts as this."""
SHA256_BYTES = 32

_CHUNK = 65_536
"""Rows gathered before they become arrays."""

Keys = npt.NDArray[np.int64]


def flags_of(row: TileMetadataPersistent) -> int:
    """A tile's labels in one byte."""
    return (
        labels_of(row)
        | PINNED * row.pinned
        | UPLOADED * (row.uploaded_at is not None)
        | EVICTABLE * may_be_evicted(row)
    )


def labels_of(tile: TileMetadata) -> int:
    """The flags that travel with a tile's bytes: downgraded, and the voting status."""
    is_downgraded = tile.freshness_label is FreshnessLabel.DOWNGRADED
    return DOWNGRADED * is_downgraded | VOTING_CODES.index(tile.voting_status) << VOTING_SHIFT


@attrs.frozen
class CatalogueEntry:
    """What the catalogue knows of one tile."""

    tile_id: TileId
    """Which tile it is."""
    captured_at: datetime
    """When the ground looked like that."""
    accessed_at: datetime
    """When the tile was last read, as far as this process knows."""
    disk_bytes: int
    """Length of the JPEG."""
    content_sha256: str
    """Of the JPEG bytes."""
    freshness_label: FreshnessLabel
    """As of the write; `verdict` of a store judges as of now."""
    voting_status: VotingStatus | None
    """The provider's verdict; None for a tile without a vote."""
    pinned: bool
    """A pinned tile is never evicted."""
    uploaded: bool
    """Whether the provider holds this content, by its own word."""
    evictable: bool
    """Whether the disk budget may delete it, as `tile_rules.may_be_evicted` says."""


@attrs.frozen
class EvictionCandidate:
    """A tile that the disk budget may delete."""

    tile_id: TileId
    disk_bytes: int


class CatalogueMatches(Protocol):
    """Tiles that a query found, in the order of their keys: along the Z-curve, then by variant.

    A copy as of the query. An entry is made when it is asked for.
    """

    @property
    def keys(self) -> Keys:
        """The tile keys, read-only."""

    def tile_ids(self) -> list[TileId]:
        """The tiles without their facts."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[CatalogueEntry]: ...

    @overload
    def __getitem__(self, place: int) -> CatalogueEntry: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[CatalogueEntry]: ...


@attrs.frozen(eq=False)
class CatalogueColumns:
    """Facts of n tiles as arrays, in any order. Raises `ValueError` for arrays that don't fit together.

    Each tile is named once; of a key that occurs twice the last place counts.
    """

    keys: Keys
    captured_us: npt.NDArray[np.int64]
    accessed_us: npt.NDArray[np.int64]
    disk_bytes: npt.NDArray[np.int64]
    """Cut to 0..`MAX_DISK_BYTES` by a catalogue."""
    flags: npt.NDArray[np.uint8]
    """See `flags_of`."""
    content_sha256: npt.NDArray[np.uint8]
    """Shape (n, 32)."""

    def __attrs_post_init__(self) -> None:
        rows = len(self.keys)
        for field, kind in _KINDS.items():
            column = getattr(self, field)
            shape = (rows, SHA256_BYTES) if field == "content_sha256" else (rows,)
            if column.dtype != kind or column.shape != shape:
                raise ValueError(
                    f"{field} must be {kind.__name__} of shape {shape}, "
                    f"got {column.dtype} of shape {column.shape}"
                )

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, rows: Sequence[TileMetadataPersistent], variants: VariantTable) -> CatalogueColumns:
        """The columns of rows whose flights are all in `variants`."""
        hashes = b"".join(bytes.fromhex(row.content_sha256) for row in rows)
        return cls(
            np.array([encode_tile_key(row.tile_id, variants) for row in rows], np.int64),
            np.array([microseconds_of(row.captured_at) for row in rows], np.int64),
            np.array([microseconds_of(row.accessed_at) for row in rows], np.int64),
            np.array([min(row.disk_bytes, MAX_DISK_BYTES) for row in rows], np.int64),
            np.array([flags_of(row) for row in rows], np.uint8),
            np.frombuffer(hashes, np.uint8).reshape(len(rows), SHA256_BYTES),
        )

    @classmethod
    def of_table(cls, table: npt.NDArray[np.void]) -> CatalogueColumns:
        """The columns of rows with `key`, `captured_us`, `length`, `sha256` (32 bytes), and perhaps `flags`.

        Each tile counts as last read when it was captured.
        """
        names = table.dtype.names or ()
        captured_us = table["captured_us"].astype(np.int64)
        return cls(
            table["key"].astype(np.int64),
            captured_us,
            captured_us,
            table["length"].astype(np.int64),
            table["flags"].astype(np.uint8) if "flags" in names else np.zeros(len(table), np.uint8),
            np.frombuffer(table["sha256"].tobytes(), np.uint8).reshape(-1, SHA256_BYTES),
        )

    @classmethod
    def joined(cls, parts: Sequence[CatalogueColumns]) -> CatalogueColumns:
        """The rows of all `parts`, one after the other."""
        return cls(*(np.concatenate([getattr(part, field) for part in parts]) for field in _KINDS))

    def at(self, places: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> CatalogueColumns:
        """The rows at `places`, in that order."""
        return CatalogueColumns(*(getattr(self, field)[places] for field in _KINDS))

    def entry(self, place: int, tile_id: TileId) -> CatalogueEntry:
        """The facts of one row, whose key decodes to `tile_id`."""
        flags = int(self.flags[place])
        return CatalogueEntry(
            tile_id,
            timestamp_of(int(self.captured_us[place])),
            timestamp_of(int(self.accessed_us[place])),
            int(self.disk_bytes[place]),
            self.content_sha256[place].tobytes().hex(),
            FreshnessLabel.DOWNGRADED if flags & DOWNGRADED else FreshnessLabel.FRESH,
            VOTING_CODES[flags >> VOTING_SHIFT],
            bool(flags & PINNED),
            bool(flags & UPLOADED),
            bool(flags & EVICTABLE),
        )

    def check(self, variants: VariantTable) -> None:
        """Raise `ValueError` unless every key names a tile by `variants` and every flag is known."""
        zooms = self.keys >> (MORTON_BITS + VARIANT_BITS)
        curve = (self.keys >> VARIANT_BITS) & ((1 << MORTON_BITS) - 1)
        named = (self.keys & (MAX_VARIANTS - 1)) < 2 + len(variants.flights)
        good = (zooms >= 0) & (zooms <= MAX_ZOOM) & named
        good &= (curve >> (2 * np.clip(zooms, 0, MAX_ZOOM))) == 0
        good &= (self.flags >> VOTING_SHIFT) < len(VOTING_CODES)
        if not good.all():
            place = int(np.argmin(good))
            raise ValueError(f"row {place} names no tile: key {self.keys[place]}, flags {self.flags[place]}")


_KINDS: dict[str, type[np.generic]] = {
    "keys": np.int64,
    "captured_us": np.int64,
    "accessed_us": np.int64,
    "disk_bytes": np.int64,
    "flags": np.uint8,
    "content_sha256": np.uint8,
}


def columns_of(rows: Iterable[TileMetadataPersistent]) -> tuple[CatalogueColumns, VariantTable]:
    """What `TileCatalogue.load` takes, with at most one chunk of `rows` in memory as objects at a time."""
    variants = VariantTable()
    parts: list[CatalogueColumns] = []
    chunk: list[TileMetadataPersistent] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            variants = variants.extended(each.tile_id for each in chunk)
            parts.append(CatalogueColumns.of(chunk, variants))
            chunk = []
    variants = variants.extended(each.tile_id for each in chunk)
    parts.append(CatalogueColumns.of(chunk, variants))
    return CatalogueColumns.joined(parts), variants
