"""The paths of a tile's files below the root, and the tile of a path. Pure arithmetic on names.

    {source}[/{flight_id}]/{zoom}/{x}/{y}.jpg           the tile, served as XYZ by any static web server
    {source}[/{flight_id}]/{zoom}/{x}/{y}.jpg.sha256    its sidecar; `sha256sum -c` accepts it in that folder
    {source}[/{flight_id}]/{zoom}/{x}/.{y}.jpg[.sha256].{pid}-{run}-{number}.tmp    their temporaries
    {source}/{zoom}/{x}/.{y}.jpg.{sha256}.new           newer imagery of a tile, until it has the tile's name
    .aerotile-store                                     the identity of the store (`identity_file`)

Paths are made of a tile id's validated parts alone. Parsing, here and in `ext/folder_scan.pyx`, accepts only
paths that this module makes: a number with a leading zero, or a flight id in capitals, names no tile.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from uuid import UUID

import attrs

from ...domain.values.inventory import FoundFile, FoundKind
from ...domain.values.tiles import TileId, TileSource
from ...domain.values.validators import SHA256_PATTERN

_SIDECAR_SUFFIX = ".sha256"
_NUMBER = r"(?:0|[1-9][0-9]{0,6})"  # 2**22 - 1, the largest column or row, has seven digits
_TEMPORARY = re.compile(
    rf"(?P<zoom>{_NUMBER})/(?P<x>{_NUMBER})/"
    rf"\.(?P<y>{_NUMBER})\.jpg(?:\.sha256)?\.[0-9]+-[0-9a-f]+-[0-9]+\.tmp"
)
_REPLACEMENT = re.compile(
    rf"(?P<zoom>{_NUMBER})/(?P<x>{_NUMBER})/\.(?P<y>{_NUMBER})\.jpg\.(?P<sha256>{SHA256_PATTERN})\.new"
)
_SIDECAR_LINE = re.compile(rf"({SHA256_PATTERN})  (.+)\n")

SIDECAR_LINE_LIMIT = 128
"""Bytes of the longest sidecar: 64 digits, two spaces, a name, a line feed."""

_run = secrets.token_hex(4)
_numbers = itertools.count()


@attrs.frozen
class TilePath:
    """The paths of one tile's two files."""

    folder: str
    """Relative to the root."""
    name: str

    @property
    def sidecar_name(self) -> str:
        """The sidecar's name in the folder."""
        return self.name + _SIDECAR_SUFFIX

    @property
    def tile(self) -> str:
        """The tile's path relative to the root."""
        return f"{self.folder}/{self.name}"

    @property
    def sidecar(self) -> str:
        """The sidecar's path relative to the root."""
        return f"{self.folder}/{self.sidecar_name}"


def tile_path(tile_id: TileId) -> TilePath:
    """The paths of the files of `tile_id`."""
    variant = variant_folder(tile_id.source, tile_id.flight_id)
    return TilePath(f"{variant}/{tile_id.zoom_level}/{tile_id.x}", f"{tile_id.y}.jpg")


def temporary_name(name: str) -> str:
    """A temporary name for `name`, unique among all writers on this file system.

    The process id and the counter differ between writers, also across a fork. The random part differs between
    containers that share a volume, and between processes that get the same id.
    """
    return f".{name}.{os.getpid()}-{_run}-{next(_numbers)}.tmp"


def variant_folder(source: TileSource, flight_id: UUID | None) -> str:
    """The folder of one source and flight, relative to the root."""
    return source.value if flight_id is None else f"{source.value}/{flight_id}"


def flight_of(name: str) -> UUID | None:
    """The flight whose folder has this name; None for a foreign folder."""
    try:
        flight_id = UUID(name)
    except ValueError:
        return None
    return flight_id if str(flight_id) == name else None


def second_name(name: str, content_sha256: str) -> str:
    """The name of a replacement's file beside the tile called `name`."""
    return f".{name}.{content_sha256}.new"


def hidden_file(source: TileSource, flight_id: UUID | None, path: str) -> FoundFile | None:
    """The temporary or replacement at `path` (below its variant's folder); None for a foreign file."""
    temporary, replacement = _TEMPORARY.fullmatch(path), _REPLACEMENT.fullmatch(path)
    match = temporary or replacement
    if match is None:
        return None
    try:
        tile_id = TileId(int(match["zoom"]), int(match["x"]), int(match["y"]), source, flight_id)
    except ValueError:  # off the grid
        return None
    path = f"{variant_folder(source, flight_id)}/{path}"
    if replacement is None:
        return FoundFile(FoundKind.TEMPORARY, tile_id, path)
    return FoundFile(FoundKind.REPLACEMENT, tile_id, path, replacement["sha256"])


def path_of(found: FoundFile) -> str:
    """The path of a file of an inventory, relative to the root."""
    if found.path is not None:
        return found.path
    path = tile_path(found.tile_id)
    return path.sidecar if found.kind is FoundKind.SIDECAR else path.tile


def sidecar_line(content_sha256: str, name: str) -> str:
    """The sidecar of the tile called `name`, as `sha256sum` writes it."""
    return f"{content_sha256}  {name}\n"


def parse_sidecar(text: str, name: str) -> str | None:
    """The SHA-256 that a sidecar of the tile called `name` claims; None unless it is exactly that line."""
    match = _SIDECAR_LINE.fullmatch(text)
    return match[1] if match is not None and match[2] == name else None
