"""What is in a store, read and hashed from its files and rows themselves, with none of the store's own code.

A tile is named as its folder and number are: `imported/20/7/3`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import psycopg

from aerotile.domain.values.disk_usage import DiskUsage
from aerotile.domain.values.tiles import parse_tile_id

ROWS = """
    SELECT concat_ws('/', source, flight_id, zoom_level, x, y), content_sha256, disk_bytes,
        uploaded_at IS NOT NULL, file_missing_at IS NULL
    FROM tiles
"""
TILE = re.compile(r"(?:imported|satellite_provider|onboard/[0-9a-f-]{36})/[0-9]+/[0-9]+/[0-9]+")
PLACED_MODE = 0o440
MARK = ".aerotile-store"


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
    usage: DiskUsage
    """As the database counts it."""

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> Rows:
        """Read them in one snapshot, on a connection that is in no transaction."""
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            tiles = {name: Row(*facts) for name, *facts in connection.execute(ROWS)}
            (totals,) = connection.execute(
                "SELECT total_bytes, footprint_bytes, onboard_footprint_bytes FROM disk_usage"
            ).fetchall()
        return cls(tiles, DiskUsage(*totals))

    def summed(self) -> DiskUsage:
        """As the rows add up to it."""
        each = (DiskUsage.of_tile(parse_tile_id(tile), row.disk_bytes) for tile, row in self.tiles.items())
        return sum(each, DiskUsage())


@attrs.frozen
class Files:
    """What the tiles' folder holds: the SHA-256 of each tile, and everything that is no whole tile."""

    tiles: Mapping[str, str]
    sizes: Mapping[str, int]
    torn: list[str]
    """Tiles whose sidecar does not say what they are, or that somebody may write to."""
    names: frozenset[str]
    """All that lies there, but for the store's mark."""
    is_marked: bool

    @property
    def leaked(self) -> list[str]:
        """What belongs to no tile under its name."""
        return sorted(self.names - _names_of(self.tiles))

    @classmethod
    def read(cls, folder: Path) -> Files:
        """Read and hash all of it."""
        contents = {str(path.relative_to(folder)): path for path in _files_below(folder)}
        is_marked = contents.pop(MARK, None) is not None
        tiles: dict[str, str] = {}
        sizes: dict[str, int] = {}
        torn: list[str] = []
        for name, path in contents.items():
            tile = name.removesuffix(".jpg")
            if tile == name or not TILE.fullmatch(tile):
                continue
            pixels = path.read_bytes()
            tiles[tile], sizes[tile] = hashlib.sha256(pixels).hexdigest(), len(pixels)
            sidecar = contents.get(f"{name}.sha256")
            if sidecar is None or not _fits(path, tiles[tile], sidecar):
                torn.append(tile)
        return cls(tiles, sizes, torn, frozenset(contents), is_marked)


@attrs.frozen
class Audit:
    """What is committed, and how a store breaks its invariants."""

    rows: Mapping[str, str]
    """The SHA-256 of each committed tile."""
    lost: frozenset[str]
    """I-1: committed rows without a file, by their own word too; the store's mark."""
    torn: frozenset[str]
    """I-1: committed rows whose file, or what belongs to it, is not what was stored."""
    leaked: frozenset[str]
    """I-2: files that no committed row has; temporaries."""
    total: int
    """What the database counts."""
    sum_of_rows: int
    usage: DiskUsage
    """The same with footprints."""
    usage_of_rows: DiskUsage

    @classmethod
    def of(cls, connection: psycopg.Connection[Any], folder: Path) -> Audit:
        """Read the rows and the tiles' folder, to which nobody may be writing."""
        return cls.between(Rows.read(connection), Files.read(folder))

    @classmethod
    def between(cls, rows: Rows, files: Files) -> Audit:
        """Compare what both say."""
        unmarked = {MARK} if not files.is_marked else set()
        without_file = {
            tile for tile, row in rows.tiles.items() if tile not in files.tiles or not row.has_file
        }
        differing = {
            tile
            for tile, row in rows.tiles.items()
            if tile in files.tiles
            and (files.tiles[tile], files.sizes[tile]) != (row.content_sha256, row.disk_bytes)
        }
        return cls(
            rows={tile: row.content_sha256 for tile, row in rows.tiles.items()},
            lost=frozenset(without_file | unmarked),
            torn=frozenset(differing | (set(files.torn) & rows.tiles.keys())),
            leaked=files.names - _names_of(rows.tiles),
            total=rows.usage.disk_bytes,
            sum_of_rows=sum(row.disk_bytes for row in rows.tiles.values()),
            usage=rows.usage,
            usage_of_rows=rows.summed(),
        )

    @property
    def total_is_exact(self) -> bool:
        """I-3."""
        return self.usage == self.usage_of_rows

    def assert_whole(self) -> None:
        """I-1, I-2 and I-3, and that nothing was left over."""
        problems = {"lost": self.lost, "torn": self.torn, "leaked": self.leaked}
        assert not any(problems.values()), f"{problems}"
        assert self.total_is_exact, (
            f"{self.total} bytes counted, {self.sum_of_rows} in the rows; {self.usage}, {self.usage_of_rows}"
        )


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
    facts = json.loads((generation / "tiles.meta.json").read_bytes())
    assert_place_order_is_whole(generation, facts)
    model = facts["descriptor_model"]
    assert isinstance(model, str)
    return model


def assert_place_order_is_whole(generation: Path, facts: dict[str, Any]) -> None:
    """The metadata vouch for `tiles.rows`, which vouches for each block of `tiles.descriptors`."""
    rows = (generation / "tiles.rows").read_bytes()
    assert hashlib.sha256(rows).hexdigest() == facts["rows_sha256"], "tiles.rows is torn"
    _, _, rows_per_block, count = struct.unpack_from("<8sIIQ", rows)
    assert count == facts["count"]
    digests = rows[24 + 8 * count :]
    content = (generation / "tiles.descriptors").read_bytes()
    step = facts["dimension"] * (2 if facts["storage"] == "float16" else 4) + 8
    begin = len(content) - count * step
    for number, first in enumerate(range(0, count, rows_per_block)):
        last = min(first + rows_per_block, count)
        block = content[begin + first * step : begin + last * step]
        digest = hashlib.sha256(block).digest()
        assert digest == digests[32 * number : 32 * number + 32], (
            f"block {number} of tiles.descriptors is torn"
        )


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _names_of(tiles: Iterable[str]) -> set[str]:
    """The files of these tiles."""
    return {f"{tile}{end}" for tile in tiles for end in (".jpg", ".jpg.sha256")}


def _fits(path: Path, sha256: str, sidecar: Path) -> bool:
    """Whether the sidecar is that of the tile, and nobody may write to either."""
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (path, sidecar)}
    return sidecar.read_bytes() == f"{sha256}  {path.name}\n".encode() and modes == {PLACED_MODE}
