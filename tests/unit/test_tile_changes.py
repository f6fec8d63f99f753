"""A catalogue beside two who change the rows: whatever overtakes what, it ends as the rows are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.domain import tile_changes
from aerotile.domain.errors import StoreUnavailableError, TileMetadataError
from aerotile.domain.sorted_catalogue import SortedTileCatalogue
from aerotile.domain.storage import CommitOutcomeUnknownError
from aerotile.domain.tile_changes import CatalogueFollower, TileChange
from aerotile.domain.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
A, B, C = (TileId(4, x, 0, TileSource.IMPORTED) for x in range(3))


class Rows(MemoryTileRows):
    """Rows that count questions; `overtake` happens between a question and the use of its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[list[TileId]] = []
        self.overtake: Callable[[], None] = lambda: None
        self.impossible: set[TileId] = set()

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        asked = list(tile_ids)
        self.questions.append(asked)
        if self.impossible & set(asked):
            raise TileMetadataError("an impossible row")
        answer = super().committed_among(asked)
        overtake, self.overtake = self.overtake, lambda: None
        overtake()
        return answer


class Site:
    """One process's follower, and the hand of another process on the same rows and files."""

    def __init__(self) -> None:
        self.rows, self.files, self.catalogue = Rows(), MemoryTileFiles(), SortedTileCatalogue()
        self.alarms = 0
        self.follower = CatalogueFollower(
            self.rows, self.files, self.catalogue, forget=self.catalogue.remove, when_in_doubt=self.alarm
        )
        self.notices: list[TileChange] = []
        self.rows.listen(self.hear)

    def alarm(self) -> None:
        self.alarms += 1

    def hear(self, changes: Sequence[TileChange]) -> None:
        self.notices.extend(changes)

    def tell(self) -> None:
        """What the feed does."""
        notices, self.notices = self.notices, []
        self.follower.apply(notices)

    def commit(self, tile_id: TileId, content: bytes = b"") -> TileMetadataPersistent:
        """A commit without its entry in the catalogue, as another process makes it."""
        pixels = b"\xff\xd8\xff" + content + b"\xff\xd9"
        metadata = TileMetadata(
            tile_id=tile_id,
            captured_at=NOW,
            content_sha256=hashlib.sha256(pixels).hexdigest(),
            disk_bytes=len(pixels),
            ground_sample_distance=1.0,
        )
        with self.rows.insert(metadata, NOW) as row:
            self.files.stage(pixels, metadata).place()
            return row.commit()

    def remove(self, tile_id: TileId) -> None:
        with self.rows.removing(tile_id):
            self.files.remove(tile_id)

    def write(
        self, tile_id: TileId, content: bytes = b"", before_entry: Callable[[], None] = lambda: None
    ) -> None:
        """What this process's store does; `before_entry` happens between its commit and its entry."""
        with self.follower.changing([tile_id]):
            stored = self.commit(tile_id, content)
            before_entry()
            self.catalogue.add(stored)

    def delete(self, tile_id: TileId, before_entry: Callable[[], None] = lambda: None) -> None:
        with self.follower.changing([tile_id]):
            self.remove(tile_id)
            before_entry()
            self.catalogue.remove(tile_id)

    def agrees(self) -> bool:
        rows = {row.tile_id: row.content_sha256 for row in self.rows.committed()}
        known = {t: None if (e := self.catalogue.get(t)) is None else e.content_sha256 for t in (A, B, C)}
        total = self.catalogue.total_disk_bytes()
        return known == {t: rows.get(t) for t in (A, B, C)} and total == self.rows.total_disk_bytes()


@pytest.fixture
def site() -> Site:
    return Site()


def test_what_another_process_does_is_followed(site: Site) -> None:
    site.commit(A)
    site.commit(B)
    site.tell()
    assert site.agrees()
    assert site.rows.questions == [[A, B]] or site.rows.questions == [[B, A]]
    site.remove(A)
    site.rows.set_pinned(B, True)
    site.tell()
    assert site.agrees()
    entry = site.catalogue.get(B)
    assert entry is not None
    assert entry.pinned


def test_what_this_process_did_costs_no_question(site: Site) -> None:
    site.write(A)
    site.tell()
    site.write(B, before_entry=site.tell)
    site.delete(A)
    site.tell()
    site.delete(B, before_entry=site.tell)
    assert site.agrees()
    assert site.rows.questions == []
    assert site.alarms == 0


def test_a_tile_that_was_removed_and_written_again_has_its_new_content(site: Site) -> None:
    site.write(A)
    site.tell()
    site.remove(A)
    site.commit(A, b"new")
    site.tell()
    assert site.agrees()


def test_a_removal_between_our_commit_and_our_entry_is_not_undone_by_the_entry(site: Site) -> None:
    def other() -> None:
        site.remove(A)
        site.tell()

    site.write(A, before_entry=other)
    assert site.alarms == 1
    site.tell()
    assert site.agrees()


def test_a_write_between_our_removal_and_its_entry_is_not_undone_by_the_entry(site: Site) -> None:
    def other() -> None:
        site.commit(A)
        site.tell()

    site.write(A)
    site.delete(A, before_entry=other)
    assert site.alarms == 1
    site.tell()
    assert site.agrees()


def test_an_answer_that_our_own_change_overtook_is_thrown_away(site: Site) -> None:
    def overtake() -> None:
        site.delete(A)
        site.write(A, b"ours")

    site.commit(A)
    site.rows.overtake = overtake
    site.tell()
    assert site.agrees()


def test_an_answer_that_comes_in_the_middle_of_our_own_change_is_thrown_away(site: Site) -> None:
    changing = site.follower.changing([A])

    def begin() -> None:
        changing.__enter__()
        site.remove(A)
        site.commit(A, b"ours")

    site.commit(A)
    site.rows.overtake = begin
    site.tell()
    assert A not in site.catalogue
    changing.__exit__(None, None, None)
    site.tell()
    assert site.agrees()


def test_what_was_in_doubt_before_our_own_change_is_not_asked_in_the_middle_of_it(site: Site) -> None:
    site.commit(A)
    site.rows.answers = False
    with pytest.raises(StoreUnavailableError):
        site.tell()
    site.rows.answers = True
    with site.follower.changing([A]):
        site.follower.apply(())
        assert site.rows.questions == [[A]]  # the one that was not answered
    assert site.alarms == 1
    site.tell()
    assert site.agrees()


def test_an_answer_that_a_notice_overtook_is_asked_for_again(site: Site) -> None:
    """A store asks about a tile that it could not evict; the feed hears of its removal in the meantime."""
    telling = threading.Thread(target=site.tell)

    def overtake() -> None:
        with site.rows.removing(A):  # the file goes later
            telling.start()
            # Not a timing assertion: whatever it has noted by then, both must end as the rows are.
            telling.join(0.1)

    site.commit(A)
    site.rows.overtake = overtake
    site.tell()
    telling.join()
    assert site.agrees()


def test_what_could_not_be_asked_is_asked_with_the_next_call(site: Site) -> None:
    site.commit(A)
    site.rows.answers = False
    with pytest.raises(StoreUnavailableError):
        site.tell()
    site.rows.answers = True
    assert not site.agrees()
    site.follower.apply(())
    assert site.agrees()


def test_a_commit_whose_outcome_is_unknown_is_asked_about_soon(site: Site) -> None:
    def lose_the_connection() -> None:
        site.notices.clear()
        raise CommitOutcomeUnknownError("the connection was lost")

    with pytest.raises(CommitOutcomeUnknownError):
        site.write(A, before_entry=lose_the_connection)
    assert site.alarms == 1
    site.follower.apply(())
    assert site.agrees()


def test_a_row_whose_file_is_gone_is_left_out(site: Site) -> None:
    site.commit(A)
    site.files.remove(A)
    site.tell()
    assert A not in site.catalogue


def test_an_impossible_row_hides_no_other(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for tile_id in (A, B, C):
        site.commit(tile_id)
    site.rows.impossible = {B}
    site.tell()
    assert [tile_id in site.catalogue for tile_id in (A, B, C)] == [True, False, True]
    assert "an impossible row" in caplog.text


def test_more_than_one_question_holds_is_asked_in_several(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_changes, "ASKED_AT_ONCE", 2)
    for tile_id in (A, B, C):
        site.commit(tile_id)
    site.tell()
    assert site.agrees()
    assert [len(question) for question in site.rows.questions] == [2, 1]


def test_a_reader_that_missed_a_file_forgets_no_tile_that_was_written_again(site: Site) -> None:
    site.write(A)
    site.follower.forget_missing(A)
    assert A in site.catalogue
    site.remove(A)
    site.follower.forget_missing(A)
    assert A not in site.catalogue
    with site.follower.changing([A]):
        site.catalogue.add(site.commit(A))
        site.files.remove(A)
        site.follower.forget_missing(A)
        assert A in site.catalogue


def test_a_reload_finds_what_was_missed_and_keeps_what_is_written_meanwhile(site: Site) -> None:
    site.write(A)
    site.write(B)
    site.tell()
    site.remove(A)
    site.commit(C)
    site.notices.clear()  # the connection was lost
    site.follower.reload()
    assert site.agrees()
    assert B in site.catalogue


@pytest.mark.parametrize("removal", [False, True])
def test_a_reload_undoes_an_entry_that_is_older_than_what_it_read(site: Site, removal: bool) -> None:
    """Our commit and another's answer to it, both unheard, then the reload, and only then our entry."""

    def missed() -> None:
        (site.commit if removal else site.remove)(A)
        site.notices.clear()
        site.follower.reload()

    if removal:
        site.write(A)
        site.delete(A, before_entry=missed)
    else:
        site.write(A, before_entry=missed)
    site.tell()
    assert site.agrees()


def test_a_reload_leaves_out_rows_that_are_known_to_have_lost_their_file(site: Site) -> None:
    site.commit(A)
    site.commit(B)
    site.files.remove(A)
    site.rows.mark_files_missing([A, B], NOW)
    site.follower.reload()
    assert A not in site.catalogue
    assert B in site.catalogue


@attrs.define
class OpenChange:
    """A change of our own between its commit and its entry."""

    tile_id: TileId
    stored: TileMetadataPersistent | None
    end: Callable[[None, None, None], bool | None]


tiles = st.sampled_from([A, B, C])


class TwoProcesses(RuleBasedStateMachine):
    """Commits of two processes, notices, lost notices and reloads, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.open: dict[TileId, OpenChange] = {}
        self.missed = False

    def _stored(self, tile_id: TileId) -> bool:
        return self.site.rows.get(tile_id) is not None

    @rule(tile_id=tiles, content=st.binary(max_size=1))
    def another_changes(self, tile_id: TileId, content: bytes) -> None:
        if self._stored(tile_id):
            self.site.remove(tile_id)
        else:
            self.site.commit(tile_id, content)

    @rule(tile_id=tiles, pinned=st.booleans())
    def another_pins(self, tile_id: TileId, pinned: bool) -> None:
        if self._stored(tile_id):
            self.site.rows.set_pinned(tile_id, pinned)

    @rule(tile_id=tiles, content=st.binary(max_size=1))
    def we_commit(self, tile_id: TileId, content: bytes) -> None:
        if tile_id in self.open:
            return
        changing = self.site.follower.changing([tile_id])
        changing.__enter__()
        stored = None
        if self._stored(tile_id):
            self.site.remove(tile_id)
        else:
            stored = self.site.commit(tile_id, content)
        self.open[tile_id] = OpenChange(tile_id, stored, changing.__exit__)

    @rule(tile_id=tiles)
    def we_enter_it(self, tile_id: TileId) -> None:
        change = self.open.pop(tile_id, None)
        if change is None:
            return
        if change.stored is None:
            self.site.catalogue.remove(tile_id)
        else:
            self.site.catalogue.add(change.stored)
        change.end(None, None, None)

    @rule()
    def the_feed_tells(self) -> None:
        if not self.missed:
            self.site.tell()

    @rule()
    def the_connection_is_lost(self) -> None:
        self.missed = True

    @rule()
    def the_feed_comes_back(self) -> None:
        if self.missed:
            self.site.notices.clear()
            self.site.follower.reload()
            self.missed = False

    @rule(tile_id=tiles)
    def a_reader_misses_a_file(self, tile_id: TileId) -> None:
        if tile_id not in self.open and not self.site.files.exists(tile_id):
            self.site.follower.forget_missing(tile_id)

    @rule()
    def nothing_is_left_to_hear(self) -> None:
        if not self.open and not self.missed:
            self.site.tell()
            assert self.site.agrees()

    def teardown(self) -> None:
        for tile_id in list(self.open):
            self.we_enter_it(tile_id)
        self.the_feed_comes_back()
        self.nothing_is_left_to_hear()


def test_whatever_two_processes_do_the_catalogue_ends_as_the_rows_are() -> None:
    run_state_machine_as_test(TwoProcesses, settings=settings(max_examples=300, stateful_step_count=30))
