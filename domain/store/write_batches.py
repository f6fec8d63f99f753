"""Writing batch after batch, several at once: while the files of one are synced, the next is hashed.

Each batch goes through its own steps in their own order (see `write_tiles`); what overlaps are the batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

IN_FLIGHT = 3
"""Batches at once: one whose files are being synced, one on its way to that, one whose rows are committed."""


def overlapped(work: Callable[[T], U], items: Iterable[T], *, at_once: int = IN_FLIGHT) -> Iterator[U]:
    """Do `work` of each item in threads, `at_once` at a time, and yield the results in order.

    Memory: no more than `at_once` items and results are alive at a time; an item is taken from `items` when
    there is a thread for it. An error of `work` or `items` is raised in its turn; what is under way then is
    finished first, and nothing new is begun.
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
