"""The catalogue's columns out of a binary COPY."""

from typing import final

from typing_extensions import Buffer

from ..domain.values.catalogue_entries import CatalogueColumns
from ..domain.values.tile_key import VariantTable
from .awaited_insert import Libpq

class CopyStreamError(ValueError):
    """The bytes are no binary COPY of the catalogue's columns, or not all of it."""

@final
class CatalogueCopy:
    """Parses the binary COPY of the catalogue's columns as it comes in."""

    def __init__(self) -> None: ...
    @property
    def rows(self) -> int: ...
    def feed(self, block: Buffer) -> None: ...
    def take(self, libpq: Libpq, connection: int, socket: int, gather_us: int) -> int: ...
    def finish(self) -> tuple[CatalogueColumns, VariantTable]: ...
