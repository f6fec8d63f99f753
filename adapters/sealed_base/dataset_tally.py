"""The datasets of the tiles that a seal takes: how many of each, and their positions in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ...domain.errors import BaseSealError
from ...domain.values.counted import counted
from ...domain.values.datasets import Dataset
from ...domain.values.tiles import TileMetadata
from .manifest import MAX_DATASETS, SealedDataset

Positions = npt.NDArray[np.uint16]


class DatasetTally:
    """Counts the tiles of each dataset. Positions count from 1, and 0 stands for no dataset.

    Until all tiles are counted, positions are those among all datasets that are defined: which of them the
    manifest names is known only when one tile of each place was chosen.
    """

    def __init__(self, defined: tuple[Dataset, ...]) -> None:
        """`defined` ascends by name. Raises `BaseSealError` for more of them than the facts tell apart."""
        if len(defined) > MAX_DATASETS:
            raise BaseSealError(
                f"{len(defined)} datasets are defined, and a base tells {MAX_DATASETS} apart",
                remedy="seal from a store with fewer datasets",
            )
        self._defined = defined
        self._positions = {dataset.name: position for position, dataset in enumerate(defined, 1)}
        self._counts = np.zeros(len(defined) + 1, np.int64)
        self._forbidden: Counter[str] = Counter()

    def position(self, row: TileMetadata) -> int:
        """The position of a tile's dataset. Raises `BaseSealError` for one that is not defined."""
        if row.dataset is None:
            return 0
        position = self._positions.get(row.dataset)
        if position is None:
            raise BaseSealError(
                f"tile {row.tile_id} is of the dataset {row.dataset}, which is not defined",
                remedy=f"define it: aerotile datasets define {row.dataset}; "
                f"or leave its tiles out: --without-dataset {row.dataset}",
            )
        if not self._defined[position - 1].may_be_stored_offline:
            self._forbidden[row.dataset] += 1
        return position

    def refuse_forbidden(self) -> None:
        """Raise `BaseSealError` when `position` met tiles that may not be stored offline."""
        if self._forbidden:
            named = ", ".join(
                f"{name} ({counted(count, 'tile')})" for name, count in sorted(self._forbidden.items())
            )
            options = " ".join(f"--without-dataset {name}" for name in sorted(self._forbidden))
            raise BaseSealError(
                f"datasets that may not be stored offline: {named}", remedy=f"leave them out: {options}"
            )

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Raise `BaseSealError` when one of the datasets, of which no tile was met, is not defined either."""
        unknown = sorted({name for name in names if name not in self._positions})
        if unknown:
            raise BaseSealError(
                f"no dataset {', '.join(unknown)}: none is defined so, "
                "and no tile of the area and zooms is of it",
                remedy="correct --without-dataset; aerotile datasets list has the names",
            )

    def count(self, positions: Positions) -> None:
        """Count tiles that are sealed, by the positions that `position` gave."""
        self._counts += np.bincount(positions, minlength=len(self._counts))

    def sealed(self) -> tuple[SealedDataset, ...]:
        """The datasets with tiles, in their order in the manifest."""
        return tuple(
            SealedDataset(dataset, int(count))
            for dataset, count in zip(self._defined, self._counts[1:], strict=True)
            if count
        )

    def renamed(self, positions: Positions) -> Positions:
        """Positions by `position` as positions in the manifest."""
        has_tiles = self._counts[1:] > 0
        in_manifest = np.concatenate(([0], np.cumsum(has_tiles))).astype(np.uint16)
        renamed: Positions = in_manifest[positions]
        return renamed
