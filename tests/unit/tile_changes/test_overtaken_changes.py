"""A catalogue whose entries, answers and reloads are overtaken: it ends as the rows are."""

from __future__ import annotations

import threading

import pytest
from followed_rows import NOW, A, B, C, Site

from aerotile.domain.errors import StoreUnavailableError


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


def test_a_change_that_never_ended_because_of_an_interrupt_leaves_its_tile_to_others(site: Site) -> None:
    interrupted = site.follower.changing([A])
    interrupted.__enter__()
    del interrupted
    site.commit(A)
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
