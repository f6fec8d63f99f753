"""The catalogue's columns, filled from the rows of a COPY."""

from typing import final

from ..domain.values.catalogue_entries import CatalogueColumns
from ..domain.values.tile_key import VariantTable

@final
class CopiedRows:
    """The rows taken in so far, a column each, and the flights that they name."""

    def __init__(self) -> None: ...
    def columns(self) -> tuple[CatalogueColumns, VariantTable]: ...
