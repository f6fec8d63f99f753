"""The upload ledger in PostgreSQL: lines are only added, and a requeue begins a new life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import attrs
import psycopg
import pytest

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.upload_ledger import PostgresUploadLedger
from aerotile.domain.errors import TileMetadataError, TileNotFoundError
from aerotile.domain.values.tiles import TileMetadataPersistent, VotingStatus
from aerotile.domain.values.upload_reports import (
    TileUploadOutcome,
    TileUploadResult,
    UploadListEntry,
    UploadReason,
    UploadState,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
UGLY = UploadReason("refused", "too ugly")


@attrs.frozen
class Subject:
    """A ledger with the store whose tiles it tells of, and what the table holds."""

    ledger: PostgresUploadLedger
    store: PostgresTileMetadataStore
    dsn: str
    tiles: list[TileMetadataPersistent]

    def result(
        self, number: int, outcome: TileUploadOutcome, reason: UploadReason | None = None
    ) -> TileUploadResult:
        tile = self.tiles[number]
        stored = tile.content_sha256 if reason is None else None
        return TileUploadResult(
            tile_id=tile.tile_id,
            content_sha256=tile.content_sha256,
            outcome=outcome,
            attempts_before=0,
            stored_sha256=stored,
            reason=reason,
        )

    def lines(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(
                "SELECT x, generation, attempt, event, request_id FROM uploads JOIN tiles USING (tile_uuid) "
                "ORDER BY uploads.id"
            ).fetchall()

    def entry(self, number: int) -> UploadListEntry:
        wanted = self.tiles[number].tile_id
        (found,) = [entry for entry in self.ledger.entries() if entry.tile.tile_id == wanted]
        return found

    def give_up(self, number: int) -> None:
        self.store.increment_upload_attempts(self.tiles[number].tile_id)
        self.store.update_voting_status(self.tiles[number].tile_id, VotingStatus.UPLOAD_GIVEUP)


@pytest.fixture
def subject(migrated_database: str, onboard_tile: Callable[..., Any]) -> Iterator[Subject]:
    with Database(migrated_database) as database:
        store = PostgresTileMetadataStore(database)
        tiles = [store.insert_metadata(onboard_tile(x)[1]) for x in range(3)]
        yield Subject(PostgresUploadLedger(database), store, migrated_database, tiles)


def test_every_sending_is_another_attempt_and_its_result_belongs_to_it(subject: Subject) -> None:
    first, second = uuid4(), uuid4()
    subject.ledger.note_sent(first, subject.tiles[:2], NOON)
    subject.ledger.note_sent(second, subject.tiles[:1], NOON)
    subject.ledger.note_results(first, [subject.result(0, TileUploadOutcome.UNANSWERED, UGLY)], NOON)
    subject.ledger.note_results(second, [subject.result(0, TileUploadOutcome.ACCEPTED)], NOON)
    assert subject.lines() == [
        (0, 1, 1, "sent", first),
        (1, 1, 1, "sent", first),
        (0, 1, 2, "sent", second),
        (0, 1, 1, "unanswered", first),
        (0, 1, 2, "accepted", second),
    ]


def test_a_tile_that_could_not_be_sent_has_a_line_without_a_request(subject: Subject) -> None:
    subject.ledger.note_results(None, [subject.result(2, TileUploadOutcome.REJECTED, UGLY)], NOON)
    assert subject.lines() == [(2, 1, 0, "rejected", None)]
    entry = subject.entry(2)
    assert (entry.last_event, entry.last_reason, entry.times_sent) == ("rejected", UGLY, 0)


def test_the_list_shows_each_tile_with_the_last_line_about_it(subject: Subject) -> None:
    request = uuid4()
    subject.ledger.note_sent(request, subject.tiles[:2], NOON)
    subject.ledger.note_results(request, [subject.result(0, TileUploadOutcome.DUPLICATE)], NOON)
    subject.store.mark_uploaded(subject.tiles[0].tile_id, NOON, subject.tiles[0].content_sha256)
    subject.give_up(2)
    entries = list(subject.ledger.entries())
    assert [(e.state, e.last_event, e.times_sent) for e in entries] == [
        (UploadState.UPLOADED, "duplicate", 1),
        (UploadState.PENDING, "sent", 1),
        (UploadState.GIVEN_UP, None, 0),
    ]
    assert entries[1].last_at == NOON


def test_pending_tiles_are_counted_with_their_bytes(subject: Subject) -> None:
    assert subject.ledger.pending_total() == (3, 900)
    subject.give_up(0)
    subject.store.update_voting_status(subject.tiles[1].tile_id, VotingStatus.REJECTED)
    assert subject.ledger.pending_total() == (1, 300)


def test_a_requeued_tile_is_pending_again_in_another_life(subject: Subject) -> None:
    request = uuid4()
    subject.ledger.note_sent(request, subject.tiles[:1], NOON)
    subject.ledger.note_results(request, [subject.result(0, TileUploadOutcome.REJECTED, UGLY)], NOON)
    subject.give_up(0)
    assert subject.ledger.requeue(subject.tiles[0].tile_id, NOON + timedelta(hours=1)) == 2
    entry = subject.entry(0)
    assert (entry.state, entry.generation, entry.times_sent) == (UploadState.PENDING, 2, 0)
    assert (entry.tile.upload_attempts, entry.tile.voting_status) == (0, VotingStatus.PENDING)
    assert entry.last_event == "requeued"
    subject.ledger.note_sent(uuid4(), subject.tiles[:1], NOON)
    assert (subject.entry(0).generation, subject.entry(0).times_sent) == (2, 1)
    subject.give_up(0)
    assert subject.ledger.requeue(subject.tiles[0].tile_id, NOON) == 3


def test_only_a_given_up_tile_can_be_requeued(subject: Subject, onboard_tile: Callable[..., Any]) -> None:
    with pytest.raises(TileMetadataError, match="only a given-up tile can be requeued"):
        subject.ledger.requeue(subject.tiles[0].tile_id, NOON)
    with pytest.raises(TileNotFoundError):
        subject.ledger.requeue(onboard_tile(99)[1].tile_id, NOON)
    assert subject.lines() == []


def test_a_line_outlives_its_tile(subject: Subject) -> None:
    subject.ledger.note_sent(uuid4(), subject.tiles[:1], NOON)
    with psycopg.connect(subject.dsn) as connection:
        connection.execute("DELETE FROM tiles")
        (count,) = connection.execute("SELECT count(*) FROM uploads").fetchone() or (None,)
    assert count == 1


def test_the_list_goes_on_past_one_page(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aerotile.adapters.postgres.upload_ledger._PAGE", 1)
    assert len(list(subject.ledger.entries())) == 3


def test_the_cursor_of_votes_is_kept_for_each_provider(subject: Subject) -> None:
    assert subject.ledger.vote_cursor("https://one.example") is None
    subject.ledger.keep_vote_cursor("https://one.example", "17", NOON)
    subject.ledger.keep_vote_cursor("https://one.example", "18", NOON)
    assert subject.ledger.vote_cursor("https://one.example") == "18"
    assert subject.ledger.vote_cursor("https://two.example") is None


def test_a_provider_names_a_tile_by_its_uuid(subject: Subject) -> None:
    assert subject.ledger.tile_named(subject.tiles[1].tile_uuid) == subject.tiles[1].tile_id
    assert subject.ledger.tile_named(UUID(int=1)) is None
