"""A bar for an upload: share, bytes, rate, time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, str], None]
"""`show(done_bytes, note)`."""


@contextmanager
def upload_bar(total_bytes: int) -> Iterator[Show]:
    """Draw a bar on standard error while the block runs; nothing at all when that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done_bytes, note: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("tiles"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda done_bytes, note: bar.update(task, completed=done_bytes, description=note)
