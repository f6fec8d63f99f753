"""The contract of `TileCatalogue`."""

from __future__ import annotations

from .boxes import Boxes
from .candidates import Candidates
from .changes import Changes
from .entries import Entries
from .loads import Loads
from .subject import MakeTileCatalogue


class TileCatalogueContract(Entries, Loads, Boxes, Candidates, Changes):
    """Holds a catalogue that a factory builds empty: the fixture `new_catalogue`."""


__all__ = ["MakeTileCatalogue", "TileCatalogueContract"]
