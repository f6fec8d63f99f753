"""Removals and evictions, and the total after them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from ....domain.values.tiles import TileId, TileMetadata, VotingStatus
from .subject import LEGACY, NOW, OfTileRows, TileRowsSubject, described, imported


def eviction_cases() -> Iterator[tuple[str, TileMetadata, Callable[[TileRowsSubject, TileId], object], bool]]:
    def nothing(subject: TileRowsSubject, tile_id: TileId) -> None:
        pass

    def pinned(subject: TileRowsSubject, tile_id: TileId) -> None:
        subject.known.set_pinned(tile_id, True)  # type: ignore[attr-defined] # both have it

    def uploaded(subject: TileRowsSubject, tile_id: TileId) -> None:
        subject.known.mark_uploaded(tile_id, NOW, f"{100:064x}")

    def given_up(subject: TileRowsSubject, tile_id: TileId) -> None:
        subject.known.update_voting_status(tile_id, VotingStatus.UPLOAD_GIVEUP)

    def rejected(subject: TileRowsSubject, tile_id: TileId) -> None:
        subject.known.update_voting_status(tile_id, VotingStatus.REJECTED)

    onboard = attrs.evolve(described(LEGACY), voting_status=VotingStatus.PENDING)
    yield "imported", described(imported(1)), nothing, True
    yield "pinned", described(imported(1)), pinned, False
    yield "onboard", onboard, nothing, False
    yield "uploaded", onboard, uploaded, True
    yield "given up", onboard, given_up, True
    yield "rejected", onboard, rejected, True


class Removals(OfTileRows):
    """Removals and evictions, and the total after them."""

    def test_the_total_follows_every_commit_and_removal(self, subject: TileRowsSubject) -> None:
        subject.store(described(imported(1), 70), described(imported(2), 30))
        assert subject.total() == 100
        with subject.rows.removing(imported(1)) as freed:
            assert freed == 70
            assert subject.total() == 30
        with subject.rows.removing(imported(1)) as freed:
            assert freed is None
        assert subject.total() == 30
        assert subject.total() == sum(tile.disk_bytes for tile in subject.rows.committed())

    @pytest.mark.parametrize(
        ("metadata", "happens", "goes"), [pytest.param(*case[1:], id=case[0]) for case in eviction_cases()]
    )
    def test_only_a_row_that_may_be_evicted_is_removed_by_an_eviction(
        self,
        subject: TileRowsSubject,
        metadata: TileMetadata,
        happens: Callable[[TileRowsSubject, TileId], object],
        goes: bool,
    ) -> None:
        tile_id = metadata.tile_id
        subject.store(metadata)
        happens(subject, tile_id)
        with subject.rows.removing(tile_id, evicting=True) as freed:
            assert freed == (100 if goes else None)
        assert (subject.rows.get(tile_id) is None) is goes
        assert subject.total() == (0 if goes else 100)

    def test_an_eviction_leaves_a_row_that_does_not_know_its_hash(self, subject: TileRowsSubject) -> None:
        subject.add_legacy_row()
        with subject.rows.removing(LEGACY, evicting=True) as freed:
            assert freed is None
        assert list(subject.rows.rows_without_hash()) == [LEGACY]

    def test_of_the_tiles_that_are_asked_about_those_with_a_row_are_found(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(imported(1)), described(imported(2)))
        subject.add_legacy_row()
        found = subject.rows.committed_among([imported(2), imported(3), LEGACY])
        assert found == {imported(2): subject.rows.get(imported(2))}
        assert subject.rows.committed_among([]) == {}

    def test_a_tile_can_be_written_again_after_its_removal(self, subject: TileRowsSubject) -> None:
        subject.store(described(imported(1), 1))
        with subject.rows.removing(imported(1)):
            pass
        subject.store(described(imported(1), 2))
        assert subject.total() == 2

    @pytest.mark.parametrize("in_batch", [False, True])
    def test_nobody_writes_a_tile_again_before_its_removal_is_over(
        self, subject: TileRowsSubject, in_batch: bool
    ) -> None:
        subject.store(described(imported(1), 1))
        over = threading.Event()

        def write() -> bool:
            again = described(imported(1), 2)
            if in_batch:
                with subject.rows.insert_many([again, described(imported(2))], NOW) as rows:
                    rows.finish_insert()
                    was_over = over.is_set()
                    rows.commit()
            else:
                with subject.rows.insert(again, NOW) as row:
                    row.finish_insert()
                    was_over = over.is_set()
                    row.commit()
            return was_over

        with ThreadPoolExecutor(1) as pool:
            with subject.rows.removing(imported(1)):
                writing = pool.submit(write)
                # No timing assertion: a writer that does not wait has long ended, one that waits cannot end.
                over.wait(0.3)
                assert not writing.done()
                over.set()
            assert writing.result(timeout=30)

    def test_a_removal_that_fails_half_way_does_not_keep_writers_out(self, subject: TileRowsSubject) -> None:
        subject.store(described(imported(1), 1))
        with pytest.raises(KeyError), subject.rows.removing(imported(1)):
            raise KeyError
        subject.store(described(imported(1), 2))
        assert subject.total() == 2
