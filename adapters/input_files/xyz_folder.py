"""`XyzFolder`: tiles in a folder as `zoom/x/y.jpg`, the layout that map tools and static servers share."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from ...domain.values.validators import SHA256_PATTERN

_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
_TILE_NAME = re.compile(r"(0|[1-9][0-9]{0,6})\.jpe?g", re.IGNORECASE)
_SIDECAR_SUFFIX = ".sha256"
_SIDECAR_LINE = re.compile(rf"({SHA256_PATTERN}) [ *](.+)\n?")
_SIDECAR_LIMIT = 1024


@attrs.frozen
class XyzFile:
    """An `OfferedTile`: one file, at the zoom, column and row that its path names."""

    name: str
    """The path."""
    zoom_level: int
    x: int
    y: int
    size: int
    has_sidecar: bool
    """Whether `y.jpg.sha256` lies beside the file."""

    def read_pixels(self, most_bytes: int) -> bytes:
        """See `OfferedTile`."""
        with Path(self.name).open("rb") as file:
            return file.read(most_bytes)

    def claimed_sha256(self) -> str | None:
        """See `OfferedTile`; None without a sidecar, `ValueError` unless it is one line of `sha256sum`."""
        if not self.has_sidecar:
            return None
        sidecar = self.name + _SIDECAR_SUFFIX
        with Path(sidecar).open("rb") as stream:
            content = stream.read(_SIDECAR_LIMIT)
        match = _SIDECAR_LINE.fullmatch(content.decode("utf-8", "replace"))
        if match is None:
            raise ValueError(f"{sidecar} is not one line as sha256sum writes it")
        return match[1]


@attrs.frozen
class XyzFolder:
    """The tiles of a folder."""

    tiles: list[XyzFile]
    """Sorted by zoom, x and y."""
    ignored: int
    """Files that are neither a tile nor a tile's sidecar."""


def scan_xyz_folder(folder: Path, zooms: Collection[int]) -> XyzFolder:
    """List the tiles of a folder, of the given zooms or of all. Raises `OSError`."""
    tiles: list[XyzFile] = []
    ignored = 0
    for zoom_level, zoom_folder in _numbered_folders(folder):
        if zooms and zoom_level not in zooms:
            continue
        for x, column in _numbered_folders(zoom_folder):
            found, others = _scan_column(column, zoom_level, x)
            tiles += found
            ignored += others
    return XyzFolder(tiles, ignored)


def _numbered_folders(folder: Path | str) -> Iterator[tuple[int, str]]:
    with os.scandir(folder) as entries:
        named = [(int(e.name), e.path) for e in entries if _NUMBER.fullmatch(e.name) and e.is_dir()]
    yield from sorted(named)


def _scan_column(column: str, zoom_level: int, x: int) -> tuple[list[XyzFile], int]:
    with os.scandir(column) as entries:
        # Only plain files: opening a pipe or a device would wait for ever.
        files = {entry.name: entry for entry in entries if entry.is_file()}
    tiles = []
    sidecars = 0
    for name, entry in files.items():
        if match := _TILE_NAME.fullmatch(name):
            has_sidecar = name + _SIDECAR_SUFFIX in files
            sidecars += has_sidecar
            size = entry.stat().st_size
            tiles.append(XyzFile(entry.path, zoom_level, x, int(match[1]), size, has_sidecar))
    tiles.sort(key=lambda tile: tile.y)
    return tiles, len(files) - len(tiles) - sidecars
