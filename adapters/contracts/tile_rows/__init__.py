"""The contract of `TileRows`."""

from __future__ import annotations

from .batches import Batches
from .budget_of_rows import BudgetOfRows
from .incomplete_rows import IncompleteRows
from .lock import Lock
from .readings import Readings
from .removals import Removals
from .replacements import Replacements
from .subject import TileRowsSubject
from .writers import Writers


class TileRowsContract(
    Batches, BudgetOfRows, IncompleteRows, Lock, Readings, Removals, Replacements, Writers
):
    """Holds rows without tiles, and with connections for 8 writers at once."""


__all__ = ["TileRowsContract", "TileRowsSubject"]
