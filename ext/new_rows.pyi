"""New rows of a batch of tiles, and PostgreSQL's binary COPY of them."""

from collections.abc import Iterable
from datetime import datetime

from ..domain.values.tiles import TileMetadata, TileMetadataPersistent

def new_rows(metadata: Iterable[TileMetadata], created_at: datetime) -> list[TileMetadataPersistent]: ...
def copy_rows(rows: Iterable[TileMetadataPersistent]) -> bytes: ...
