"""What a database knows of tiles, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import attrs

from ...domain.errors import (
    ContentHashMismatchError,
    DuplicateTileError,
    HeadroomTakenError,
    StoreUnavailableError,
    TileNotFoundError,
)
from ...domain.policies.voting import check_voting_step
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tile_changes import ChangeKind, TileChange
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_names import ZERO_UUID
from ...domain.values.tile_rules import is_pending_upload, may_be_evicted
from ...domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, VotingStatus
from ...domain.values.validators import check_aware_utc, check_bool, check_kind, check_limit

_PUBLISHED = {"captured_at", "content_sha256", "freshness_label", "voting_status", "uploaded_at", "pinned"}
"""Facts whose change is told to listeners; access times are not."""


class MemoryTileMetadataStore:
    """A `TileMetadataStore` in memory; nothing is durable. Any number of threads may use it.

    While `answers` is False every call raises `StoreUnavailableError`, as when a database is gone.
    `MemoryTileRows` adds transactions and locks to the same table.
    """

    def __init__(
        self,
        *,
        disk_budget_bytes: int | None = None,
        onboard_budget_bytes: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """`now` is the database's own time, which only `insert_metadata` reads."""
        self.answers = True
        self.disk_budget_bytes = disk_budget_bytes
        self.onboard_budget_bytes = onboard_budget_bytes
        self._now = now
        self._changed = threading.Condition()
        self._committed: dict[TileId, TileMetadataPersistent] = {}
        self._usage = DiskUsage()
        self._listeners: list[Callable[[Sequence[TileChange]], None]] = []

    def listen(self, listener: Callable[[Sequence[TileChange]], None]) -> Callable[[], None]:
        """Call `listener` with every commit from now on, in their order; the function returned ends that.

        `listener` runs while the table is locked, so it must return immediately.
        """
        with self._changed:
            self._listeners.append(listener)

        def end() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def get_by_id(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """See `TileMetadataStore`."""
        check_kind(tile_id, TileId, "tile_id")
        with self._answering():
            return self._committed.get(tile_id)

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a zoom outside 0..22."""
        span = GridRange.covering(bbox, zoom_level)
        found = [
            tile
            for tile in self.committed()
            if tile.tile_id.zoom_level == span.zoom_level and (tile.tile_id.x, tile.tile_id.y) in span
        ]
        return sorted(found, key=lambda tile: _grid_order(tile.tile_id))

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileMetadataStore`."""
        check_kind(metadata, TileMetadata, "metadata")
        stored = TileMetadataPersistent.of(metadata, created_at=self._now())
        with self._answering():
            if stored.tile_id in self._committed:
                raise DuplicateTileError(stored.tile_id)
            self.add({stored.tile_id: stored})
        return stored

    def update_voting_status(self, tile_id: TileId, status: VotingStatus) -> TileMetadataPersistent:
        """See `TileMetadataStore`."""
        check_kind(tile_id, TileId, "tile_id")
        check_kind(status, VotingStatus, "status")
        with self._answering():
            check_voting_step(self._known(tile_id).voting_status, status)
            return self._change(tile_id, voting_status=status)

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None:
        """See `TileMetadataStore`; the first upload's time stays."""
        check_kind(tile_id, TileId, "tile_id")
        check_kind(content_sha256, str, "content_sha256")
        check_aware_utc(uploaded_at, "uploaded_at")
        with self._answering():
            tile = self._known(tile_id)
            if tile.content_sha256 != content_sha256:
                raise ContentHashMismatchError(
                    "uploaded SHA-256", expected=tile.content_sha256, actual=content_sha256, tile_id=tile_id
                )
            if tile.uploaded_at is None:
                self._change(tile_id, uploaded_at=uploaded_at)

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        pending = [tile for tile in self.committed() if is_pending_upload(tile)]
        return _first(limit, pending, key=lambda tile: tile.created_at)

    def record_lru_access(self, accesses: Mapping[TileId, datetime]) -> None:
        """See `TileMetadataStore`."""
        check_kind(accesses, Mapping, "accesses")
        for tile_id in accesses:
            check_kind(tile_id, TileId, "accesses' tile_id")
        for accessed_at in accesses.values():
            check_aware_utc(accessed_at, "accessed_at")
        with self._answering():
            for tile_id, accessed_at in accesses.items():
                tile = self._committed.get(tile_id)
                if tile is not None and tile.accessed_at < accessed_at:
                    self._change(tile_id, accessed_at=accessed_at)

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        candidates = [tile for tile in self.committed() if may_be_evicted(tile)]
        return _first(limit, candidates, key=lambda tile: tile.accessed_at)

    def total_disk_bytes(self) -> int:
        """See `TileMetadataStore`."""
        with self._answering():
            return self._usage.disk_bytes

    def increment_upload_attempts(self, tile_id: TileId) -> int:
        """See `TileMetadataStore`. Raises `TileNotFoundError`."""
        check_kind(tile_id, TileId, "tile_id")
        with self._answering():
            attempts = self._known(tile_id).upload_attempts + 1
            return self._change(tile_id, upload_attempts=attempts).upload_attempts

    def count_rejection(self, tile_id: TileId, attempts_before: int, *, gives_up: bool) -> bool:
        """See `UploadAttempts` of the retrying uploader."""
        with self._answering():
            tile = self._committed.get(tile_id)
            if tile is None or tile.upload_attempts != attempts_before or not is_pending_upload(tile):
                return False
            vote = {"voting_status": VotingStatus.UPLOAD_GIVEUP} if gives_up else {}
            self._change(tile_id, upload_attempts=attempts_before + 1, **vote)
            return True

    def set_pinned(self, tile_id: TileId, pinned: bool) -> None:
        """See `SupportsPins`."""
        check_kind(tile_id, TileId, "tile_id")
        pinned = check_bool(pinned, "pinned")
        with self._answering():
            self._known(tile_id)
            self._change(tile_id, pinned=pinned)

    def pinned_tiles(self) -> list[TileId]:
        """See `SupportsPins`."""
        pinned = (tile.tile_id for tile in self.committed() if tile.pinned)
        return sorted(pinned, key=lambda tile_id: (tile_id.zoom_level, *_grid_order(tile_id)))

    def committed(self) -> Iterator[TileMetadataPersistent]:
        """Every committed row, as one consistent snapshot."""
        with self._answering():
            return iter(list(self._committed.values()))

    def add(self, inserted: Mapping[TileId, TileMetadataPersistent]) -> None:
        """Commit rows: the last step of every insertion. Raises `HeadroomTakenError`."""
        with self._answering():
            added, ceiling, share = (
                DiskUsage.of(inserted.values()),
                self.disk_budget_bytes,
                self.onboard_budget_bytes,
            )
            taken, of_onboard = self._usage.footprint_bytes, self._usage.onboard_footprint_bytes
            if ceiling is not None and taken + added.footprint_bytes > ceiling:
                raise HeadroomTakenError(added.footprint_bytes, ceiling, taken)
            onboard = added.onboard_footprint_bytes
            if share is not None and onboard and of_onboard + onboard > share:
                raise HeadroomTakenError(onboard, share, of_onboard)
            self._committed.update(inserted)
            self._usage += added
            self._publish(ChangeKind.ADDED, inserted)

    def _publish(self, kind: ChangeKind, tile_ids: Iterable[TileId]) -> None:
        changes = [TileChange(kind, tile_id) for tile_id in tile_ids]
        for listener in self._listeners:
            listener(changes)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        with self._changed:
            if not self.answers:
                raise StoreUnavailableError("the rows in memory do not answer")
            yield

    def _known(self, tile_id: TileId) -> TileMetadataPersistent:
        tile = self._committed.get(tile_id)
        if tile is None:
            raise TileNotFoundError(tile_id)
        return tile

    def _change(self, tile_id: TileId, **facts: Any) -> TileMetadataPersistent:
        changed: TileMetadataPersistent = attrs.evolve(self._committed[tile_id], **facts)
        self._committed[tile_id] = changed
        if facts.keys() & _PUBLISHED:
            self._publish(ChangeKind.CHANGED, [tile_id])
        return changed


def _grid_order(tile_id: TileId) -> tuple[int, int, str, int]:
    return tile_id.x, tile_id.y, tile_id.source.value, (tile_id.flight_id or ZERO_UUID).int


def _first(
    limit: int, tiles: list[TileMetadataPersistent], *, key: Callable[[TileMetadataPersistent], datetime]
) -> list[TileMetadataPersistent]:
    """The first `limit` by `key`; the sort is stable, so rows of one time stay in order of insertion."""
    limit = check_limit(limit)
    return sorted(tiles, key=key)[:limit]
