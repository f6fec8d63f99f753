"""Working on several batches at once: while the files of one are synced, the next is hashed.

Each batch goes through its own steps in their order (see `write_tile`); only different batches overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

IN_FLIGHT = 3
"""Batches at once: one that is hashed, one whose files are synced, one whose rows are committed."""


def overlapped(work: Callable[[T], U], items: Iterable[T], *, at_once: int = IN_FLIGHT) -> Iterator[U]:
    """Do `work` of each item on `at_once` threads, and yield the results in order of the items.

    Memory: at most `at_once` items and results are alive; an item is taken from `items` when a thread is free
    for it. An error of `work` or `items` is raised at its position; the work under way is finished first, and
    no more work is begun. Where two batches under way write the same tile, either may store it.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be 1 or more, got {at_once!r}")
    with ThreadPoolExecutor(at_once, thread_name_prefix="aerotile-batch") as pool:
        under_way: deque[Future[U]] = deque()
        for item in items:
            under_way.append(pool.submit(work, item))
            del item
            if len(under_way) >= at_once:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
