"""The contract of `TileFiles`."""

from __future__ import annotations

from .batches_of_files import BatchesOfFiles
from .hash_gate import HashGate
from .placing import Placing
from .replacements import Replacements
from .what_lies_there import WhatLiesThere
from .written_ahead import WrittenAhead


class TileFilesContract(BatchesOfFiles, HashGate, Placing, Replacements, WhatLiesThere, WrittenAhead):
    """Holds files without tiles."""


__all__ = ["TileFilesContract"]
