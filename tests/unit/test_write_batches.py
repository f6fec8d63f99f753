"""Batches that overlap: results in order, a bounded number under way, errors in their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from aerotile.domain.store.write_batches import overlapped


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(at_once: int) -> None:
    assert list(overlapped(lambda n: n * n, range(20), at_once=at_once)) == [n * n for n in range(20)]


def test_nothing_to_do_is_done() -> None:
    assert list(overlapped(str, [])) == []


def test_items_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)
    assert list(overlapped(lambda _: both.wait() >= 0, range(4), at_once=2)) == [True] * 4


def test_no_more_items_are_taken_than_are_worked_on() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 10:
            taken += 1
            yield taken

    results = overlapped(lambda n: n, items(), at_once=3)
    for done in range(1, 11):
        assert next(results) == done
        assert taken <= done + 2


def test_an_error_is_raised_in_its_turn_after_what_is_under_way_has_ended() -> None:
    ended: list[int] = []
    first_may_end = threading.Event()

    def work(n: int) -> int:
        if n == 1:
            first_may_end.set()
            raise ValueError("the second")
        if n == 0:
            first_may_end.wait(30)
        ended.append(n)
        return n

    results = overlapped(work, range(100), at_once=3)
    assert next(results) == 0
    with pytest.raises(ValueError, match="the second"):
        next(results)
    assert 2 in ended
    assert len(ended) < 10


def test_an_error_of_the_items_ends_the_work() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("can't be read")

    results = overlapped(lambda n: n, items(), at_once=1)
    assert next(results) == 1
    with pytest.raises(OSError, match="can't be read"):
        next(results)


def test_a_reader_that_stops_early_leaves_no_thread_behind() -> None:
    others = set(threading.enumerate())
    results = overlapped(lambda n: n, range(1000), at_once=4)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert set(threading.enumerate()) <= others


def test_at_least_one_at_once() -> None:
    with pytest.raises(ValueError, match="at_once must be 1 or more, got 0"):
        next(overlapped(str, [1], at_once=0))
