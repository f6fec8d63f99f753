"""A store in a process that did not open it: no change, reads as before."""

from __future__ import annotations

import pytest

from ....domain.errors import ForkedProcessError, TileNotFoundError
from ....domain.values.tile_changes import ChangeKind, TileChange
from .subject import IN_CONFLICT, IN_REAR, NOW, OfTileStore, TileStoreSubject, described, jpeg


class Forks(OfTileStore):
    """A store in a process that did not open it: no change, reads as before."""

    def test_a_store_of_another_process_refuses_every_change_and_reads_on(
        self, subject: TileStoreSubject
    ) -> None:
        forked = False

        def check_process() -> None:
            if forked:
                raise ForkedProcessError(opened_by=1)

        store, pixels = subject.open(check_process=check_process), jpeg(1)
        store.write_tile(pixels, described(pixels))
        recorded = subject.kinds()
        forked = True
        refused = [
            lambda: store.write_tile(pixels, described(pixels, IN_CONFLICT)),
            lambda: store.write_tiles([(pixels, described(pixels, IN_CONFLICT))]),
            lambda: store.delete_tile(IN_REAR),
            lambda: store.evict_tile(IN_REAR),
            lambda: store.amend_capture_time(IN_REAR, NOW),
            lambda: store.replace_tile(jpeg(2), described(jpeg(2))),
            lambda: store.apply_changes([TileChange(ChangeKind.REMOVED, IN_REAR)]),
            store.reload,
        ]
        for change in refused:
            with pytest.raises(
                ForkedProcessError, match="opened before a fork, by process 1: build it again"
            ):
                change()
        assert list(subject.committed()) == list(subject.on_disk()) == [IN_REAR]
        assert subject.kinds() == recorded
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == pixels
        assert store.read_tile_bytes(IN_REAR) == pixels
        assert store.verdict(IN_REAR) is not None
        subject.files.remove(IN_REAR)
        subject.mapping_cache.invalidate(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)
        assert store.tile_exists(IN_REAR)  # the catalogue is as it was at the fork
