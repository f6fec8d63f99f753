"""The contract of `TileFiles`."""

from __future__ import annotations

from .batches_of_files import BatchesOfFiles
from .placing import Placing
from .what_lies_there import WhatLiesThere
from .written_ahead import WrittenAhead


class TileFilesContract(BatchesOfFiles, Placing, WhatLiesThere, WrittenAhead):
    """Holds files without tiles."""


__all__ = ["TileFilesContract"]
