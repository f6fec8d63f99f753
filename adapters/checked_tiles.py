"""What the last whole check of a store found, tile by tile: a file that `aerotile ready` reads.

A tile is known by its key and by the first bytes of its SHA-256, so that a tile that was changed since counts
as not checked, whatever the clock says. The file is a line of JSON and three columns behind it.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from ..domain.readiness.held_tiles import DAMAGED, NOT_CHECKED, WHOLE
from ..domain.values.catalogue_entries import Keys
from ..domain.values.place_keys import translated_keys
from ..domain.values.tile_key import VariantTable, encode_tile_key
from ..domain.values.tiles import TileId, TileMetadataPersistent
from .files.atomic_file import atomic_file
from .files.regular_file import read_regular

CHECKED_TILES = "checked-tiles"
"""The name of the file in the root folder."""
_DIGEST_BYTES = 8
_MODE = 0o640
"""A user who may write the file can make damaged tiles count as whole."""
_MOST_BYTES = 4 << 30
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class CheckedTiles:
    """Collects what a check finds; for one thread."""

    def __init__(self) -> None:
        self._variants = VariantTable()
        self._keys = array("q")
        self._digests = bytearray()
        self._whole = bytearray()

    def add(self, row: TileMetadataPersistent, whole: bool) -> None:
        """Note a row, and whether its file is there with the digest of the row."""
        try:
            key = encode_tile_key(row.tile_id, self._variants)
        except KeyError:  # the first tile of its flight
            self._variants = self._variants.extended([row.tile_id])
            key = encode_tile_key(row.tile_id, self._variants)
        self._keys.append(key)
        self._digests += bytes.fromhex(row.content_sha256)[:_DIGEST_BYTES]
        self._whole.append(whole)

    @staticmethod
    def begin(root: Path) -> None:
        """Remove the file of an earlier check: only what this one finds counts. Raises `OSError`."""
        (root / CHECKED_TILES).unlink(missing_ok=True)

    def resume(self, root: Path, store_id: UUID) -> None:
        """Begin with what the file says of this store; what is added later counts before it."""
        try:
            of_store, variants, keys, digests, whole = _read(root / CHECKED_TILES)
        except _UNREADABLE:
            return
        if of_store == str(store_id):
            self._variants = variants
            self._keys = array("q", keys.tolist())
            self._digests, self._whole = bytearray(digests.tobytes()), bytearray(whole.tobytes())

    def forget(self, tile_ids: Iterable[TileId]) -> None:
        """Forget tiles that a repair took out of the store: they may come back whole."""
        gone = [encode_tile_key(tile_id, self._variants.extended([tile_id])) for tile_id in tile_ids]
        keys = np.array(self._keys, np.int64)
        kept = ~np.isin(keys, np.array(gone, np.int64))
        digests = np.frombuffer(self._digests, np.uint8).reshape(-1, _DIGEST_BYTES)[kept]
        whole = np.frombuffer(self._whole, np.uint8)[kept]
        self._keys = array("q", keys[kept].tolist())
        self._digests, self._whole = bytearray(digests.tobytes()), bytearray(whole.tobytes())

    def write(self, root: Path, store_id: UUID) -> None:
        """Write the file anew, by rename. Raises `OSError`."""
        columns = np.array(self._keys, "<i8").tobytes() + self._digests + self._whole
        facts: dict[str, Any] = {
            "store_id": str(store_id),
            "flights": [str(flight) for flight in self._variants.flights],
            "tiles": len(self._keys),
        }
        facts["sha256"] = _digest(facts, columns)
        with atomic_file(root / CHECKED_TILES, _MODE) as file:
            file.write(json.dumps(facts).encode("ascii") + b"\n")
            file.write(columns)


def read_wholeness(
    root: Path, store_id: UUID, keys: Keys, variants: VariantTable, sha256: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """The wholeness of tiles by the last check of their store: `WHOLE`, `NOT_CHECKED` or `DAMAGED`.

    `keys` ascend; `sha256` has the shape (n, 32). Where there is no file, or another store's, or a damaged
    one, no tile counts as checked.
    """
    wholeness = np.full(len(keys), NOT_CHECKED, np.uint8)
    try:
        of_store, checked_variants, checked, digests, whole = _read(root / CHECKED_TILES)
    except _UNREADABLE:
        return wholeness
    if of_store != str(store_id):
        return wholeness
    translated = translated_keys(checked, checked_variants, variants)
    # A resumed check has the tiles of one position twice: the later one counts.
    order = np.argsort(translated, kind="stable")
    translated = translated[order]
    position = np.searchsorted(translated, keys, side="right") - 1
    found = position >= 0
    found[found] = translated[position[found]] == keys[found]
    rows = order[position[found]]
    same = (digests[rows] == sha256[found, :_DIGEST_BYTES]).all(axis=1)
    state = np.where(whole[rows] == 1, WHOLE, DAMAGED)
    wholeness[found] = np.where(same, state, NOT_CHECKED)
    return wholeness


def _digest(facts: dict[str, Any], columns: bytes | bytearray) -> str:
    """The SHA-256 of the facts and the columns."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii") + columns).hexdigest()


def _read(path: Path) -> tuple[str, VariantTable, Keys, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Store, table, keys, digests and flags. Raises `OSError`, and other errors for another content."""
    header, _, columns = read_regular(path, _MOST_BYTES).partition(b"\n")
    facts = json.loads(header)
    tiles = facts["tiles"]
    if len(columns) != tiles * (9 + _DIGEST_BYTES) or facts.pop("sha256") != _digest(facts, columns):
        raise ValueError("its columns are damaged")
    keys = np.frombuffer(columns, "<i8", tiles).astype(np.int64)
    digests = np.frombuffer(columns, np.uint8, tiles * _DIGEST_BYTES, tiles * 8).reshape(tiles, _DIGEST_BYTES)
    whole = np.frombuffer(columns, np.uint8, tiles, tiles * (8 + _DIGEST_BYTES))
    return facts["store_id"], VariantTable(tuple(map(UUID, facts["flights"]))), keys, digests, whole
