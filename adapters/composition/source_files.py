"""`SourceFile`: whether a source is still what a run began with, by sizes and dates."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from .imagery_parts import file_and_table


@attrs.frozen
class SourceFile:
    """A source as the machine that began the run sees it."""

    name: str
    state: str
    """Size and date of the file; of a folder the SHA-256 of those of its pictures."""
    is_folder: bool

    @classmethod
    def of(cls, name: str) -> SourceFile:
        """The source now. Raises `OSError`."""
        path, _ = file_and_table(name)
        if path.is_dir():
            return cls(name, _state_of_folder(path), is_folder=True)
        found = path.stat()
        return cls(name, f"{found.st_size} {found.st_mtime_ns}", is_folder=False)

    def is_unchanged(self) -> bool:
        """Whether the source is there and has the same sizes and dates. Raises `OSError`."""
        try:
            return SourceFile.of(self.name) == self
        except FileNotFoundError:
            return False


def _state_of_folder(folder: Path) -> str:
    from ..input_files.tile_folder import PICTURE_KINDS, scan_tile_folder
    from ..input_files.tile_scheme import TileScheme

    state = hashlib.sha256()
    for tile in scan_tile_folder(folder, (), TileScheme.XYZ, kinds=PICTURE_KINDS).tiles:
        state.update(f"{tile.zoom_level}/{tile.x}/{tile.y} {tile.size} {tile.changed_ns}\n".encode("ascii"))
    return state.hexdigest()
