"""A catalogue beside another process that changes the rows: what is followed, and what is asked for it."""

from __future__ import annotations

import pytest
from followed_rows import A, B, C, Site

from aerotile.domain.errors import CommitOutcomeUnknownError
from aerotile.domain.store import catalogue_sync as tile_changes


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
    monkeypatch.setattr(tile_changes, "QUERY_TILES", 2)
    for tile_id in (A, B, C):
        site.commit(tile_id)
    site.tell()
    assert site.agrees()
    assert [len(question) for question in site.rows.questions] == [2, 1]
