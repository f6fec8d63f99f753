"""Sorting more fixed-width rows than fit into memory: sorted runs in an unlinked file, merged by ranges."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]

RUN_ROWS = 1 << 16
_SAMPLE_EVERY = 1 << 10


class SortedRuns:
    """Takes rows in any order, and gives them back ascending by one of their fields.

    Memory: two runs, and one number for each thousand rows. The file is in `folder`, without a name.
    """

    def __init__(self, dtype: np.dtype[Any], by: str, folder: Path, *, run_rows: int = RUN_ROWS) -> None:
        self._by = by
        self._run_rows = run_rows
        self._buffer = np.zeros(run_rows, dtype)
        self._filled = 0
        self._runs: list[tuple[int, int]] = []
        """The first row of each run in the file, and the row behind its last."""
        self._samples: list[npt.NDArray[Any]] = []
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`

    def __len__(self) -> int:
        return (self._runs[-1][1] if self._runs else 0) + self._filled

    def append(self, rows: Rows) -> None:
        """Take rows."""
        while len(rows):
            taken = rows[: self._run_rows - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rows = rows[len(taken) :]
            if self._filled == self._run_rows:
                self._end_run()

    def ascending(self) -> Iterator[Rows]:
        """All rows, in pieces of one run or so; rows that are equal by the field lie in the same piece."""
        if self._filled:
            self._end_run()
        if not self._runs:
            return
        self._file.flush()
        rows: Any = np.memmap(self._file, self._buffer.dtype, "r")
        fields = [rows[begin:end][self._by] for begin, end in self._runs]
        begins = [0] * len(fields)
        for limit in self._limits():
            ends = [len(field) if limit is None else bisect_left(field, limit) for field in fields]
            piece = np.concatenate(
                [
                    rows[first + begin : first + end]
                    for (first, _), begin, end in zip(self._runs, begins, ends, strict=True)
                ]
            )
            begins = ends
            if len(piece):
                yield piece[np.argsort(piece[self._by], kind="stable")]

    def close(self) -> None:
        """Give the file's room back."""
        self._file.close()

    def _end_run(self) -> None:
        run = self._buffer[: self._filled]
        run = run[np.argsort(run[self._by], kind="stable")]
        begin = self._runs[-1][1] if self._runs else 0
        self._runs.append((begin, begin + len(run)))
        self._samples.append(run[self._by][::_SAMPLE_EVERY].copy())
        self._file.write(run.tobytes())
        self._filled = 0

    def _limits(self) -> Iterator[Any]:
        """Values between which about one run of rows lies, and None behind the last."""
        samples = np.sort(np.concatenate(self._samples))
        apart = max(1, self._run_rows // _SAMPLE_EVERY)
        yield from np.unique(samples[apart::apart])
        yield None
