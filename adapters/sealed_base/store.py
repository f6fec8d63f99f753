"""The tiles of a sealed base, read by pointer arithmetic in one mapping."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable

import numpy as np

from ...domain.errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileNotFoundError,
)
from ...domain.policies.freshness import FreshnessVerdict
from ...domain.store.recall_guard import RecallGuard, no_recalls
from ...domain.values.catalogue_entries import CatalogueMatches
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_key import decode_tile_key
from ...domain.values.tiles import TileId
from ...domain.values.timestamps import EARLIEST_US, LATEST_US
from ...domain.values.validators import check_timeout, taken_as
from ...ext import MappedPixels, SealedTiles
from ..pmtiles.archive_header import DATA_OFFSET
from ..reader_threads import ReaderThreads
from .facts import FACTS_ROW, PART_ROWS
from .manifest import FACTS_FILE, KEY_BYTES
from .mapped_base import MappedBase

DEFAULT_THREADS = 4


class _Patience(threading.local):
    """How long this thread's calls wait for the disk."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s


def _not_here(tile_id: TileId) -> TilePixelHandle:
    raise TileNotFoundError(tile_id)


class SealedTileStore:
    """The tiles of a mapped base; implements `ReadableTiles` and nothing that writes. Safe for threads.

    A tile's bytes are hashed at its first read (`verify_reads`), its facts before their first use. A damaged
    tile, or part of the facts with its 512 tiles, is refused each time, and the others are read on.

    A first use waits for the disk until the deadline, and then raises `ReadDeadlineError` with the tile that
    is read, or with the first one of the part of the facts that a look-up needs, whichever call needs it.
    """

    def __init__(
        self,
        base: MappedBase,
        *,
        judge: Callable[[TileId, int], FreshnessVerdict],
        verify_reads: bool = True,
        when_damaged: Callable[[TileId, str, str], None] = lambda tile_id, expected, found: None,
        otherwise: Callable[[TileId], TilePixelHandle] | None = None,
        recalls: RecallGuard | None = None,
        read_deadline_s: float | None = None,
        threads: ReaderThreads | None = None,
    ) -> None:
        """`judge` gives the verdict on a tile by its capture time in microseconds since 1970, as of now.

        `when_damaged` is called with a refused tile, the SHA-256 that was sealed and the one that was found.
        `recalls` refuses the tiles of a recall list; default none.
        `otherwise` reads a tile that the base does not hold, for the reads without a time of their own; None:
        such a read raises `TileNotFoundError`, as `read_tile_pixels_within` does.
        `read_deadline_s` is how long a first use waits for the disk, on one of `threads`; None: as long as
        the disk takes.
        """
        self.base = base
        self._judge = judge
        self._verify_reads = verify_reads
        self._when_damaged = when_damaged
        self._recalls = no_recalls() if recalls is None else recalls
        self._patience = _Patience(read_deadline_s)
        self._threads = ReaderThreads(DEFAULT_THREADS) if threads is None else threads
        self._tiles = SealedTiles(
            base.facts,
            base.archive,
            base.signed.manifest.variants,
            base.first_keys,
            part_rows=PART_ROWS,
            data_offset=DATA_OFFSET,
            check_part=self._check_part,
            check_tile=self._check_tile,
            otherwise=_not_here if otherwise is None else otherwise,
        )
        # A Python frame around it would be a good part of a read. (The ignored complaint is that a method is
        # assigned to; it is one of the same signature.)
        self.read_tile_pixels = self._tiles.read_pixels  # type: ignore[method-assign]
        self._recalls.when_changed(self._tiles.forget_checks)

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `ReadableTiles`."""
        return self._tiles.read_pixels(tile_id)

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsLocalReads`."""
        before, self._patience.timeout_s = self._patience.timeout_s, check_timeout(timeout_s)
        try:
            if tile_id not in self._tiles:
                return _not_here(tile_id)
            return self._tiles.read_pixels(tile_id)
        finally:
            self._patience.timeout_s = before

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads`."""
        with self._tiles.read_pixels(tile_id) as handle:
            return bytes(memoryview(handle))

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `ReadableTiles`."""
        return tile_id in self._tiles

    def captured_us(self, tile_id: TileId) -> int | None:
        """See `ReadableTiles`."""
        captured_us: int | None = self._tiles.captured_us(tile_id)
        return captured_us

    def datasets_of(self, tile_ids: Iterable[TileId]) -> dict[TileId, str | None]:
        """See `ReadableTiles`."""
        asked = taken_as(tile_ids, TileId, "tile_ids")
        rows = np.frombuffer(memoryview(self.base.facts), FACTS_ROW)
        found = ((tile_id, self._tiles.row_at(tile_id)) for tile_id in asked)
        return {t: self._dataset_name(int(rows["dataset"][row])) for t, row in found if row is not None}

    def _dataset_name(self, position: int) -> str | None:
        datasets = self.base.signed.manifest.datasets
        if position > len(datasets):
            raise BaseUnavailableError(
                f"the facts of {self.base.folder} name dataset {position} of {len(datasets)}",
                remedy="bring the base again",
            )
        return datasets[position - 1].dataset.name if position else None

    def content_sha256(self, tile_id: TileId) -> str | None:
        """See `ReadableTiles`."""
        content: str | None = self._tiles.content_sha256(tile_id)
        return content

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """See `SupportsLocalReads`."""
        captured_us = self.captured_us(tile_id)
        if captured_us is None:
            return None
        verdict = self._judge(tile_id, captured_us)
        if self._recalls.in_force is None:
            return verdict
        return self._recalls.judged(verdict, tile_id, captured_us, self.content_sha256(tile_id))

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsLocalReads`. A tile of the base counts as pinned, and as last read when captured."""
        cells = GridRange.covering(bbox, zoom_level)
        found = self._tiles.query(zoom_level, cells.min_x, cells.min_y, cells.max_x, cells.max_y)
        return self._recalls.without_recalled(found)

    def __len__(self) -> int:
        """How many tiles the base holds."""
        return len(self._tiles)

    def close(self) -> None:
        """End the threads that wait for the disk, each after its current read; reads go on."""
        self._threads.close()

    def _check_part(self, number: int) -> None:
        key = int.from_bytes(self.base.first_keys[number * KEY_BYTES :][:KEY_BYTES], "little", signed=True)
        try:
            first = decode_tile_key(key, self.base.signed.manifest.variants)
        except (ValueError, KeyError) as error:
            raise BaseUnavailableError(
                f"the facts of {self.base.folder} name a tile that there is none of: {error}",
                remedy="bring the base again",
            ) from error
        self.base.check_part(FACTS_FILE, number, lambda part: self._bring(part, first))
        rows = np.frombuffer(memoryview(self.base.facts), FACTS_ROW)[number * PART_ROWS :][:PART_ROWS]
        if (rows["captured_us"] < EARLIEST_US).any() or (rows["captured_us"] > LATEST_US).any():
            raise BaseUnavailableError(
                f"the facts of {self.base.folder} hold a capture time that no calendar has",
                remedy="bring the base again",
            )

    def _bring(self, pixels: MappedPixels, tile_id: TileId) -> None:
        """Wait for the disk until the bytes are in memory, or the deadline has passed.

        Raises `OSError` when the disk fails, and `ReadDeadlineError`.
        """
        timeout_s = self._patience.timeout_s
        if timeout_s is None or (self.base.residency_is_known and pixels.is_resident):
            pixels.prefault()
        else:
            self._threads.run(pixels.prefault, tile_id, timeout_s)

    def _check_tile(self, row: int) -> None:
        """Refuse a recalled tile; have the disk give its bytes, and hash them where reads are verified."""
        facts = np.frombuffer(memoryview(self.base.facts), FACTS_ROW, 1, row * FACTS_ROW.itemsize)[0]
        tile_id = decode_tile_key(int(facts["key"]), self.base.signed.manifest.variants)
        expected = facts["sha256"].tobytes().hex()
        self._recalls.check(tile_id, int(facts["captured_us"]), expected)
        try:
            pixels = self._tiles.raw_pixels(row)
        except ValueError as error:
            raise BaseUnavailableError(f"the facts of tile {tile_id} are impossible: {error}") from error
        with pixels:
            try:
                self._bring(pixels, tile_id)
            except OSError as error:
                raise StoreUnavailableError(
                    f"can't read tile {tile_id} of the sealed base: {error.strerror}",
                    remedy="check the disk (kernel log, SMART); bring the base again",
                ) from error
            if not self._verify_reads:
                return
            actual = hashlib.sha256(pixels).hexdigest()
        if actual != expected:
            self._when_damaged(tile_id, expected, actual)
            raise ContentHashMismatchError("SHA-256", expected=expected, actual=actual, tile_id=tile_id)
