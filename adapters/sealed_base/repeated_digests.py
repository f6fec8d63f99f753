"""Which contents several tiles share, found on the disk, whatever the number of tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .sorted_runs import SortedRuns

Prefixes = npt.NDArray[np.uint64]

_COUNTED = np.dtype([("prefix", "<u8"), ("count", "<u4")])


def are_among(repeated: Prefixes, sha256: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether the prefix of each digest is among ascending ones."""
    prefixes = _prefixes_of(sha256)
    if not len(repeated):
        return np.zeros(len(prefixes), np.bool_)
    places = np.searchsorted(repeated, prefixes)
    found: npt.NDArray[np.bool_] = repeated[np.minimum(places, len(repeated) - 1)] == prefixes
    return found


def _prefixes_of(sha256: npt.NDArray[Any]) -> Prefixes:
    words: Prefixes = np.ascontiguousarray(sha256).view("<u8").reshape(-1, 4)[:, 0]
    return words


class RepeatedDigests:
    """Takes digests and gives back the prefixes of those that came more than once.

    Two digests with one prefix count as one, so a prefix says that a tile may have a twin. Memory: two runs
    of the sort, and 8 bytes for each prefix that is given back. The file is in `folder`, without a name.
    """

    def __init__(self, folder: Path) -> None:
        self._runs = SortedRuns(_COUNTED, "prefix", folder)

    def append(self, sha256: npt.NDArray[Any]) -> None:
        """Take digests."""
        # The sort gives equal rows back in one piece, and most tiles may have one content: count here first.
        prefixes, counts = np.unique(_prefixes_of(sha256), return_counts=True)
        block = np.zeros(len(prefixes), _COUNTED)
        block["prefix"], block["count"] = prefixes, counts
        self._runs.append(block)

    def repeated(self) -> Prefixes:
        """The prefixes that came more than once, ascending; no more can be taken."""
        found = [np.empty(0, np.uint64)]
        for piece in self._runs.ascending():
            prefixes, firsts = np.unique(piece["prefix"], return_index=True)
            found.append(prefixes[np.add.reduceat(piece["count"], firsts, dtype=np.int64) > 1])
        return np.concatenate(found)

    def close(self) -> None:
        """Give the file's room back."""
        self._runs.close()
