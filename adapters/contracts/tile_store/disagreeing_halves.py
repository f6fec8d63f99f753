"""Rows and files that disagree, and the next opening of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ....domain.errors import CommitOutcomeUnknownError, TileNotFoundError
from ....domain.ports.tile_rows import TileRows
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import TileId
from .subject import IN_REAR, OfTileStore, TileStoreSubject, described, jpeg


class _LostConnection:
    """Rows whose connection is lost when a removal commits: the row is gone, the caller can't know."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    @contextmanager
    def removing(self, tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        with self._inner.removing(tile_id, evicting=evicting):
            raise CommitOutcomeUnknownError("the connection was lost")
        yield None  # type: ignore[unreachable] # makes this a generator


class DisagreeingHalves(OfTileStore):
    """Rows and files that disagree, and the next opening of the store."""

    def test_a_tile_whose_removal_may_have_been_committed_is_not_read_any_more(
        self, subject: TileStoreSubject
    ) -> None:
        pixels = jpeg(1)
        subject.open().write_tile(pixels, described(pixels))
        subject.rows = _LostConnection(subject.rows)  # type: ignore[assignment] # delegates the rest
        store = subject.open()
        with pytest.raises(CommitOutcomeUnknownError):
            store.delete_tile(IN_REAR)
        assert subject.files.exists(IN_REAR)
        assert not store.tile_exists(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)

    def test_a_file_without_a_committed_row_is_never_read_and_goes_at_the_next_open(
        self, subject: TileStoreSubject
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        subject.files.place(subject.files.stage(pixels, described(pixels)))
        assert not store.tile_exists(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)
        assert subject.open().opened.orphans_removed == 1
        assert subject.on_disk() == {}

    def test_a_row_without_its_file_is_reported_and_kept(self, subject: TileStoreSubject) -> None:
        pixels = jpeg(1)
        subject.open().write_tile(pixels, described(pixels))
        subject.files.remove(IN_REAR)
        reopened = subject.open()
        assert reopened.opened.files_missing == 1
        assert IN_REAR in subject.committed()
        with pytest.raises(TileNotFoundError):
            reopened.read_tile_pixels(IN_REAR)

    def test_a_lost_sidecar_is_restored_by_the_next_open(self, subject: TileStoreSubject) -> None:
        pixels = jpeg(1)
        subject.open().write_tile(pixels, described(pixels))
        for found in list(subject.files.inventory()):
            if found.kind is FoundKind.SIDECAR:
                subject.files.discard(found)
        assert subject.open().opened.sidecars_restored == 1
        assert subject.files.sidecar_sha256(IN_REAR) == hashlib.sha256(pixels).hexdigest()

    def test_a_reopened_store_knows_what_was_written_before(self, subject: TileStoreSubject) -> None:
        pixels = jpeg(1)
        subject.open().write_tile(pixels, described(pixels))
        reopened = subject.open()
        assert reopened.opened.tiles == 1
        with reopened.read_tile_pixels(IN_REAR) as handle:
            assert handle.nbytes == len(pixels)
