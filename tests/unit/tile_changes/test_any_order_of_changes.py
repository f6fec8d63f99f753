"""A catalogue beside two processes, whose changes come in any order: it ends as the rows are."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from followed_rows import A, B, C, Site
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from aerotile.domain.values.tiles import TileId, TileMetadataPersistent


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
    examples = settings.default.max_examples * 3
    run_state_machine_as_test(TwoProcesses, settings=settings(max_examples=examples, stateful_step_count=30))
