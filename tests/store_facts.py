"""What is in a store, read from its files and rows themselves and with none of the store's own code.

A tile is named as its folder and number are: `imported/20/7/3`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import psycopg

ROWS = """
    SELECT concat_ws('/', source, flight_id, zoom_level, x, y), content_sha256, disk_bytes,
        uploaded_at IS NOT NULL, file_missing_at IS NULL
    FROM tiles
"""
TILE = re.compile(r"(?:imported|satellite_provider|onboard/[0-9a-f-]{36})/[0-9]+/[0-9]+/[0-9]+")
PLACED_MODE = 0o440


@attrs.frozen
class Row:
    """A committed row."""

    content_sha256: str
    disk_bytes: int
    uploaded: bool
    has_file: bool
    """By its own word."""


@attrs.frozen
class Rows:
    """What the database holds."""

    tiles: Mapping[str, Row]
    total_bytes: int

    @classmethod
    def read(cls, dsn: str) -> Rows:
        """Read them in one snapshot."""
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            tiles = {name: Row(*facts) for name, *facts in connection.execute(ROWS)}
            totals = connection.execute("SELECT total_bytes FROM disk_usage").fetchall()
        assert len(totals) == 1
        return cls(tiles, totals[0][0])


@attrs.frozen
class Files:
    """What the tiles' folder holds: the SHA-256 of each tile, and everything that is no whole tile."""

    tiles: Mapping[str, str]
    torn: list[str]
    """Tiles whose sidecar does not say what they are."""
    leaked: list[str]
    """What belongs to no tile under its name."""

    @classmethod
    def read(cls, folder: Path) -> Files:
        """Read and hash all of it."""
        contents = {str(path.relative_to(folder)): path for path in _regular_files(folder)}
        contents.pop(".aerotile-store", None)
        tiles: dict[str, str] = {}
        torn: list[str] = []
        for name, path in contents.items():
            tile = name.removesuffix(".jpg")
            if tile == name or not TILE.fullmatch(tile):
                continue
            tiles[tile] = hashlib.sha256(path.read_bytes()).hexdigest()
            sidecar = contents.get(f"{name}.sha256")
            expected = f"{tiles[tile]}  {path.name}\n".encode()
            placed = stat.S_IMODE(path.stat().st_mode) == PLACED_MODE
            if sidecar is None or sidecar.read_bytes() != expected or not placed:
                torn.append(tile)
        known = {f"{tile}{end}" for tile in tiles for end in (".jpg", ".jpg.sha256")}
        return cls(tiles, torn, sorted(contents.keys() - known))


@attrs.frozen
class Broken:
    """How a store breaks its invariants; nothing when it keeps them."""

    lost: list[str]
    """I-1: a committed row without its file."""
    torn: list[str]
    """I-1: a committed row whose file or sidecar is another one."""
    leaked: list[str]
    """I-2: files without a committed row; temporaries."""
    accounting: list[str]
    """I-3: the total is not the sum."""

    @classmethod
    def between(cls, rows: Rows, files: Files) -> Broken:
        """Compare what both say after an open."""
        total = sum(row.disk_bytes for row in rows.tiles.values())
        return cls(
            lost=[tile for tile, row in rows.tiles.items() if tile not in files.tiles or not row.has_file],
            torn=[
                tile
                for tile, row in rows.tiles.items()
                if files.tiles.get(tile, row.content_sha256) != row.content_sha256 or tile in files.torn
            ],
            leaked=[*files.leaked, *(tile for tile in files.tiles if tile not in rows.tiles)],
            accounting=[f"the total is {rows.total_bytes}, the sum {total}"] * (rows.total_bytes != total),
        )

    def __bool__(self) -> bool:
        return any(attrs.astuple(self))


def index_in_use(folder: Path) -> str | None:
    """The model of the generation that the pointer names; None without a pointer.

    Raises `AssertionError` unless that generation is whole.
    """
    pointer = folder / "current"
    if not pointer.exists():
        return None
    name = pointer.read_text()
    assert re.fullmatch(r"[0-9]{6,}\n", name), f"the pointer says {name!r}"
    generation = folder / "generations" / name.rstrip("\n")
    sidecar = (generation / "tiles.index.sha256").read_text()
    claims = dict(reversed(line.split("  ")) for line in sidecar.splitlines())
    assert claims.keys() == {"tiles.index", "tiles.meta.json"}, f"{generation} claims {sorted(claims)}"
    for file, sha256 in claims.items():
        assert hashlib.sha256((generation / file).read_bytes()).hexdigest() == sha256, f"{file} is torn"
    model = json.loads((generation / "tiles.meta.json").read_bytes())["descriptor_model"]
    assert isinstance(model, str)
    return model


def _regular_files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
