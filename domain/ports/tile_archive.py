"""`TileArchiveWriter`: a file or folder that tiles are exported to, for other programs."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from ..values.catalogue_entries import Keys
from ..values.tile_grid import Bbox
from .imagery_source import TilePlace


@attrs.frozen(kw_only=True)
class ArchiveFacts:
    """What an archive says about all of its tiles."""

    name: str
    bounds: Bbox
    """The box around them."""
    zooms: tuple[int, ...]
    """Ascending."""
    tile_size_pixels: int


class TileArchiveWriter(Protocol):
    """An archive that is whole or not there: it gets its name when it is finished.

    A context manager; leaving it without `finish` removes what was written. One thread at a time.
    """

    def order(self, keys: Keys) -> npt.NDArray[np.intp]:
        """The positions of tile keys in the order in which their tiles have to be added."""

    def add(self, place: TilePlace, pixels: bytes, sha256: bytes) -> None:
        """Write the JPEG of a place, each place once, and its digest where the format has one.

        Raises `OSError`.
        """

    def finish(self, facts: ArchiveFacts) -> None:
        """Make the archive durable under its name. Needs at least one tile. Raises `OSError`."""

    def __enter__(self) -> TileArchiveWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
