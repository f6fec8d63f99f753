"""The line to the database is cut at each message of what only changes rows: what the caller is told is true.

`TEST_DATABASE_CUTS` is as for the changes of tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
from audited_store import Auditor, eventually, onboard, tile
from fault_tally import FaultTally
from wire_proxy import CUTS, Cut, CutAt, WireProxy, answers_to_commit, cuts_of

from aerotile.adapters.postgres import transactions
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.upload_ledger import PostgresUploadLedger
from aerotile.domain.errors import CommitOutcomeUnknownError, StoreUnavailableError, TileMetadataError
from aerotile.domain.store.access_times import AccessTimeBuffer
from aerotile.domain.values.tiles import TileId, VotingStatus
from aerotile.domain.values.upload_reports import TileUploadOutcome, TileUploadResult, UploadReason

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 if CUTS != "all" else 3600)]

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


@attrs.frozen
class Rows:
    """What changes rows, on a line that can be cut, and the same on one that is not."""

    proxy: WireProxy
    tiles: PostgresTileMetadataStore
    ledger: PostgresUploadLedger
    straight: PostgresTileMetadataStore
    auditor: Auditor

    def add(self, tile_id: TileId) -> None:
        self.straight.insert_metadata(tile(tile_id)[1])

    def value(self, column: str, tile_id: TileId) -> Any:
        ((value,),) = self.auditor.ask(f"SELECT {column} FROM tiles WHERE tile_uuid = %s", tile_id.tile_uuid)
        return value


@pytest.fixture
def rows(migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    monkeypatch.setattr(transactions, "OUTCOME_WAIT_S", 3.0)
    proxy = WireProxy(migrated_database)
    auditor = Auditor(migrated_database, tmp_path)
    with (
        Database(proxy.dsn, max_size=2, connect_timeout_s=3.0, statement_timeout_s=3.0) as database,
        Database(migrated_database) as straight,
    ):
        yield Rows(
            proxy,
            PostgresTileMetadataStore(database),
            PostgresUploadLedger(database),
            PostgresTileMetadataStore(straight),
            auditor,
        )
    eventually("a session stays", lambda: auditor.sessions() == 0)
    proxy.close()


@attrs.frozen
class RowChange:
    """A change of one tile's row, and whether it is made."""

    make: Callable[[Rows, TileId], object]
    is_made: Callable[[Rows, TileId], bool]
    again: Callable[[Rows, TileId], object] | None = None
    """What to do after it was made, in place of a repeat."""
    prepare: Callable[[Rows, TileId], object] = lambda rows, tile_id: None


def requeue_again(rows: Rows, tile_id: TileId) -> None:
    with pytest.raises(TileMetadataError, match="only a given-up tile"):
        rows.ledger.requeue(tile_id, NOW)


def lines_of(rows: Rows, event: str, tile_id: TileId) -> int:
    ((count,),) = rows.auditor.ask(
        f"SELECT count(*) FROM uploads WHERE event = '{event}' AND tile_uuid = %s", tile_id.tile_uuid
    )
    assert count in (0, 1), f"{event} is noted {count} times"
    return int(count)


def note_sent(rows: Rows, tile_id: TileId) -> None:
    found = rows.straight.get_by_id(tile_id)
    assert found is not None
    rows.ledger.note_sent(uuid4(), [found], NOW)


def note_result(rows: Rows, tile_id: TileId) -> None:
    digest = tile(tile_id)[1].content_sha256
    reason = UploadReason("file_missing", "the store has no file for the tile")
    result = TileUploadResult(
        tile_id=tile_id,
        content_sha256=digest,
        outcome=TileUploadOutcome.REJECTED,
        attempts_before=0,
        reason=reason,
    )
    rows.ledger.note_results(None, [result], NOW)


CHANGES = {
    "note what is sent": RowChange(
        note_sent, lambda rows, t: lines_of(rows, "sent", t) == 1, again=lambda rows, t: None
    ),
    "note a result": RowChange(
        note_result, lambda rows, t: lines_of(rows, "rejected", t) == 1, again=lambda rows, t: None
    ),
    "mark as uploaded": RowChange(
        lambda rows, t: rows.tiles.mark_uploaded(t, NOW, tile(t)[1].content_sha256),
        lambda rows, t: rows.value("uploaded_at", t) is not None,
    ),
    "count an attempt": RowChange(
        lambda rows, t: rows.tiles.increment_upload_attempts(t),
        lambda rows, t: bool(rows.value("upload_attempts", t)),
        again=lambda rows, t: None,
    ),
    "count a rejection": RowChange(
        lambda rows, t: rows.tiles.count_rejection(t, 0, gives_up=True),
        lambda rows, t: (
            (rows.value("upload_attempts", t), rows.value("voting_status", t)) == (1, "upload_giveup")
        ),
        again=lambda rows, t: None,
    ),
    "vote": RowChange(
        lambda rows, t: rows.tiles.update_voting_status(t, VotingStatus.TRUSTED),
        lambda rows, t: rows.value("voting_status", t) == "trusted",
    ),
    "pin": RowChange(
        lambda rows, t: rows.tiles.set_pinned(t, True),
        lambda rows, t: bool(rows.value("pinned", t)),
    ),
    "requeue": RowChange(
        lambda rows, t: rows.ledger.requeue(t, NOW),
        lambda rows, t: rows.value("voting_status", t) == "pending",
        again=requeue_again,
        prepare=lambda rows, t: rows.straight.update_voting_status(t, VotingStatus.UPLOAD_GIVEUP),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_line_cut_at_any_message_of_a_change_of_a_row_is_told_truly(
    kind: str, rows: Rows, fault_tally: FaultTally
) -> None:
    change = CHANGES[kind]

    def run(x: int, cut: CutAt | None) -> tuple[StoreUnavailableError | None, bool]:
        rows.add(onboard(x))
        change.prepare(rows, onboard(x))
        rows.proxy.cut(cut)
        raised = None
        try:
            change.make(rows, onboard(x))
        except StoreUnavailableError as error:
            raised = error
        reached = rows.proxy.has_cut.is_set()
        rows.proxy.heal()
        return raised, reached

    dry_runs = []
    for x in range(4):  # the first on a connection that has prepared nothing yet
        assert run(x, None)[0] is None
        dry_runs.append(list(rows.proxy.heard))
    heard = min(dry_runs, key=len)
    runs = 0
    for x, cut in enumerate([*answers_to_commit(heard), *cuts_of(heard, kind)], start=10):
        raised, was_reached = run(x, cut)
        runs += was_reached
        told = f"{kind} {x}, {cut}: {raised!r}"
        assert was_reached or raised is None, told
        rows.auditor.expect_nothing_left_behind()
        is_made = change.is_made(rows, onboard(x))
        if isinstance(raised, CommitOutcomeUnknownError):
            # Only while a server that was never told the end holds on to the row.
            assert cut.how in (Cut.HALF_CLOSED, Cut.SILENT), told
        else:
            assert is_made is (raised is None), told
        # Once more, on the line that is whole again.
        (change.make if not is_made or change.again is None else change.again)(rows, onboard(x))
        assert change.is_made(rows, onboard(x)), told
        assert rows.value("upload_attempts", onboard(x)) == kind.startswith("count"), told
    assert runs >= 0.8 * len(cuts_of(heard, kind))
    fault_tally.add(f"line to the database cut: {kind}", runs)


def test_reads_that_could_not_be_noted_are_noted_by_the_next_flush(
    rows: Rows, fault_tally: FaultTally
) -> None:
    clock = SteppingClock()
    noted = PermissiveCatalogue()
    read: list[TileId] = []
    buffer = AccessTimeBuffer(lambda: [read.pop() for _ in range(len(read))], clock.stamp, noted)
    tile_ids = [onboard(x) for x in range(3)]
    for tile_id in tile_ids:
        rows.add(tile_id)

    def flush() -> None:
        read[:] = tile_ids
        clock.step()
        buffer.flush(rows.tiles)

    def accessed() -> list[Any]:
        return [rows.value("accessed_at", tile_id) for tile_id in tile_ids]

    for _ in range(2):
        rows.proxy.cut(None)
        flush()
        heard = list(rows.proxy.heard)
    runs = 0
    for cut in cuts_of(heard, "flush"):
        before = accessed()
        rows.proxy.cut(cut)
        with suppress(StoreUnavailableError):
            flush()
        runs += rows.proxy.has_cut.is_set()
        rows.proxy.heal()
        rows.auditor.expect_nothing_left_behind()
        assert all(now >= then for now, then in zip(accessed(), before, strict=True)), cut
        buffer.flush(rows.tiles)
        assert all(now > then for now, then in zip(accessed(), before, strict=True)), cut
        assert len(buffer) == 0, cut
    assert runs >= 0.8 * len(cuts_of(heard, "flush"))
    fault_tally.add("line to the database cut: flush of access times", runs)


class SteppingClock:
    """An hour later at each step."""

    def __init__(self) -> None:
        self._hours = 0

    def step(self) -> None:
        self._hours += 1

    def stamp(self, count: int) -> datetime:
        return datetime.now(timezone.utc) + timedelta(hours=self._hours)


class PermissiveCatalogue:
    """Knows every tile."""

    def note_accesses(self, tile_ids: object, accessed_us: object) -> None: ...
