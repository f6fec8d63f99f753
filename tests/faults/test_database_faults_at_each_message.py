"""The line to the database is cut at each message of each change: what the caller is told is true.

A dry run tells which messages there are. `TEST_DATABASE_CUTS` says at how many of them each test cuts, drawn
from the seed of the run, or `all`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from audited_store import BASE, TILE_BYTES, Auditor, Reading, eventually, imported, pixels_of, tile
from fault_tally import FaultTally
from store_facts import Audit
from wire_proxy import CUTS, CutAt, Sender, WireProxy, answers_to_commit, cuts_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig, LruConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.postgres import transactions
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.domain.errors import (
    CommitOutcomeUnknownError,
    DuplicateTileError,
    StoreUnavailableError,
    TileNotFoundError,
)
from aerotile.domain.ports.tile_store import SupportsLocalWrites
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileMetadata

EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
TAKEN = footprint(1000)
"""What each tile takes of the budget."""
BUDGET_BYTES = 128 * TAKEN
QUICK = DatabaseConfig(pool_max_size=2, connect_timeout_s=3.0, statement_timeout_s=3.0)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 if CUTS != "all" else 3600)]


@attrs.frozen
class Site:
    """A store whose line to the database can be cut; its feed has a line of its own, which is not."""

    proxy: WireProxy
    runtime: Runtime
    auditor: Auditor
    reading: Reading

    @property
    def store(self) -> SupportsLocalWrites:
        return self.runtime.tile_store

    def reopen(self) -> None:
        """Open the store as a new process would, on a line that nobody cuts."""
        config = attrs.evolve(self.runtime.config, database=attrs.evolve(QUICK, dsn=Secret(self.auditor.dsn)))
        with Runtime(config) as runtime:
            runtime.part("tile_store")


@pytest.fixture
def site(migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(transactions, "OUTCOME_WAIT_S", 3.0)
    proxy = WireProxy(migrated_database)
    config = AerotileConfig(
        root=tmp_path,
        database=attrs.evolve(QUICK, dsn=Secret(proxy.dsn)),
        budget=BudgetConfig(max_bytes=BUDGET_BYTES),
        lru=LruConfig(flush_interval_s=3600),
    )
    auditor = Auditor(migrated_database, config.tiles_folder)
    with Database(migrated_database) as straight, Runtime(config) as runtime:
        # Notices would otherwise have the follower ask questions on the line at moments of their own.
        feed = runtime.__dict__["tile_feed"] = TileFeed(straight)
        store = runtime.tile_store
        for outcome in store.write_tiles([tile(tile_id) for tile_id in BASE]):
            assert outcome.stored is not None
        with Reading(store, BASE, lambda: store.query_by_bbox(EVERYWHERE, 18)) as reading:
            yield Site(proxy, runtime, auditor, reading)
        feed.close()
    eventually("a session stays", lambda: auditor.sessions() == 0)
    proxy.close()


@attrs.frozen
class Change:
    """A change to the store that can be made again and again, each time to another tile."""

    make: Callable[[Site, int], object]
    """Raises what the store raises."""
    prepare: Callable[[Site, int], object] = lambda site, x: None
    changed: Callable[[int], list[TileId]] = lambda x: [imported(x)]
    adds: bool = True
    """Whether the tiles are there after the change, or gone."""
    may_be_unknown: bool = False
    """Whether it may be told as unknown though the database answers again, by the contract."""
    evicts: bool = False
    again: type[Exception] = DuplicateTileError
    """What a repeat raises when the change was made."""
    content: Callable[[TileId], bytes] = pixels_of
    """Of a tile that the change adds."""

    def is_made(self, audit: Audit, x: int) -> bool:
        there = [
            audit.rows.get(str(tile_id)) == self.sha256(tile_id) if self.adds else str(tile_id) in audit.rows
            for tile_id in self.changed(x)
        ]
        assert len(set(there)) == 1, "a batch was committed in part"
        return there[0] is self.adds

    def sha256(self, tile_id: TileId) -> str:
        return hashlib.sha256(self.content(tile_id)).hexdigest()


def write_batch(site: Site, x: int) -> None:
    for outcome in site.store.write_tiles([tile(tile_id) for tile_id in batch_of(x)]):
        if outcome.error is not None:
            raise outcome.error


def write_batch_with_a_duplicate(site: Site, x: int) -> None:
    first, *outcomes = site.store.write_tiles([tile(BASE[0]), *(tile(t) for t in batch_of(x))])
    assert isinstance(first.error, DuplicateTileError)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def batch_of(x: int) -> list[TileId]:
    return [imported(4 * x + place) for place in range(3)]


def write_one(site: Site, x: int) -> None:
    site.runtime.tile_store.write_tile(*tile(imported(x)))


def newer_of(tile_id: TileId) -> tuple[bytes, TileMetadata]:
    """Imagery that is newer than that of any tile that is stored."""
    pixels = example_jpeg(pixels_of(tile_id), 2 * TILE_BYTES)
    return pixels, attrs.evolve(
        tile(tile_id)[1], content_sha256=hashlib.sha256(pixels).hexdigest(), disk_bytes=len(pixels)
    )


def fill(site: Site, x: int) -> None:
    """Leave no room for another tile; what was read last is not evicted first."""
    room = (BUDGET_BYTES - sum(TAKEN for _ in site.auditor.audit().rows)) // TAKEN
    for place in range(room):
        site.runtime.tile_store.write_tile(*tile(imported(200_000 - 64 * (x % 1000) - place)))
    site.runtime.part("_lru_buffer").gather()


def large_batch_of(x: int) -> list[TileId]:
    return [imported(220_000 + 20 * (x % 1000) + place) for place in range(20)]


def write_large_batch(site: Site, x: int) -> None:
    for outcome in site.store.write_tiles([tile(tile_id) for tile_id in large_batch_of(x)]):
        if outcome.error is not None:
            raise outcome.error


CHANGES = {
    "write": Change(write_one),
    "batch that is written ahead": Change(write_large_batch, changed=large_batch_of),
    "batch": Change(write_batch, changed=batch_of),
    "batch with a duplicate": Change(write_batch_with_a_duplicate, changed=batch_of),
    "delete": Change(
        lambda site, x: site.runtime.tile_store.delete_tile(imported(x)),
        prepare=write_one,
        adds=False,
        may_be_unknown=True,
        again=TileNotFoundError,
    ),
    "replacement": Change(
        lambda site, x: site.store.replace_tile(*newer_of(imported(x))),
        prepare=write_one,
        may_be_unknown=True,
        content=lambda tile_id: newer_of(tile_id)[0],
    ),
    "write that evicts": Change(write_one, prepare=fill, may_be_unknown=True, evicts=True),
}


def run_once(
    site: Site, change: Change, x: int, cut: CutAt | None, *, then_gone: bool = False
) -> tuple[BaseException | None, bool]:
    """Make the change while the line is cut; what was raised, and whether the cut was reached."""
    change.prepare(site, x)
    site.proxy.cut(cut, then_gone=then_gone)
    raised: BaseException | None = None
    try:
        change.make(site, x)
    except StoreUnavailableError as error:
        raised = error
    reached = site.proxy.has_cut.is_set()
    if raised is not None:
        site.reading.expect_progress()
    site.proxy.heal()
    return raised, reached


def dry_run(site: Site, change: Change, first: int = 20) -> list[tuple[Sender, str]]:
    """The messages of the change on a connection that has made it before; without what a pause adds."""
    heard = []
    for x in range(first, first + 4):
        assert run_once(site, change, x, None)[0] is None
        heard.append(list(site.proxy.heard))
    return min(heard, key=len)


def expect_truth(
    site: Site, change: Change, x: int, told: str, raised: BaseException | None, *, may_be_unknown: bool
) -> None:
    """What was told is so, nothing is left behind, and a repeat gets a clear answer."""
    site.auditor.expect_nothing_left_behind()
    audit = site.auditor.audit()
    if isinstance(raised, CommitOutcomeUnknownError):
        assert may_be_unknown, told
        assert not audit.lost, told
        site.reopen()
        audit = site.auditor.audit()
    else:
        assert change.is_made(audit, x) is (raised is None), told
    assert not (audit.lost | audit.torn | audit.leaked), told
    assert audit.total_is_exact, told
    repeat(site, change, x, told)


def repeat(site: Site, change: Change, x: int, told: str) -> None:
    """Do it once more, on the line that is whole again: the answer is clear, and true."""
    was_made = change.is_made(site.auditor.audit(), x)
    if change.adds:
        # What the connection's loss left in doubt, the feed finds out.
        known = site.runtime.tile_store.content_sha256
        eventually(told, lambda: all((known(t) == change.sha256(t)) is was_made for t in change.changed(x)))
    with suppress(change.again):
        answered(lambda: change.make(site, x))
        assert not was_made, told
    assert change.is_made(site.auditor.audit(), x), told
    site.auditor.expect_nothing_left_behind()
    if change.adds:
        for tile_id in change.changed(x):
            with site.runtime.tile_store.read_tile_pixels(tile_id) as handle:
                assert bytes(memoryview(handle)) == change.content(tile_id), told
            if not change.evicts:
                site.runtime.tile_store.delete_tile(tile_id)


def answered(change: Callable[[], object]) -> None:
    """Try until the pool has found the database again; it may just have failed to."""

    def is_answered() -> bool:
        try:
            change()
        except StoreUnavailableError:
            return False
        return True

    eventually("the pool does not recover", is_answered)


def expect_all_well(site: Site, kind: str, runs: int, fault_tally: FaultTally) -> None:
    site.reopen()
    audit = site.auditor.audit()
    fault_tally.add(kind, runs, lost=len(audit.lost), torn=len(audit.torn), leaked=len(audit.leaked))
    assert not (audit.lost | audit.torn | audit.leaked)
    assert audit.total_is_exact


@pytest.mark.parametrize("kind", CHANGES)
def test_a_line_cut_at_any_message_of_a_change_is_told_truly_and_leaves_nothing(
    kind: str, site: Site, fault_tally: FaultTally
) -> None:
    for first in (20, 120, 220):
        tried, reached = cut_at_each_message(site, kind, first)
        expect_all_well(site, f"line to the database cut: {kind}", reached, fault_tally)
        if reached >= 0.8 * tried:
            return
        # The machine paused in each dry run: cuts stood behind the last message of the change.
    pytest.fail(f"of {tried} cuts only {reached} were reached")


def cut_at_each_message(site: Site, kind: str, first: int) -> tuple[int, int]:
    """How many cuts there were, and how many were reached."""
    change = CHANGES[kind]
    heard = dry_run(site, change, first)
    cuts = [*answers_to_commit(heard), *cuts_of(heard, kind)]
    reached = 0
    for x, cut in enumerate(cuts, start=first + 10):
        raised, was_reached = run_once(site, change, x, cut)
        reached += was_reached
        told = f"{kind} {x}, {cut}: {raised!r}"
        assert was_reached or raised is None, told
        expect_truth(site, change, x, told, raised, may_be_unknown=change.may_be_unknown)
    return len(cuts), reached


@pytest.mark.parametrize("kind", ["write", "batch", "delete", "replacement"])
def test_a_database_that_is_gone_after_the_cut_is_told_truly_or_as_unknown(
    kind: str, site: Site, fault_tally: FaultTally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "OUTCOME_WAIT_S", 0.3)
    change = CHANGES[kind]
    heard = dry_run(site, change)
    cuts = [*answers_to_commit(heard), *cuts_of(heard, f"{kind}, then gone", silent=False)]
    if CUTS != "all":
        cuts = cuts[:2]
    unknown = reached = 0
    for x, cut in enumerate(cuts, start=30):
        raised, was_reached = run_once(site, change, x, cut, then_gone=True)
        reached += was_reached
        told = f"{kind} {x}, {cut}, then gone: {raised!r}"
        unknown += isinstance(raised, CommitOutcomeUnknownError)
        expect_truth(site, change, x, told, raised, may_be_unknown=True)
    assert unknown
    expect_all_well(site, f"line cut, then the database gone: {kind}", reached, fault_tally)
