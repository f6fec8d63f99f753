"""`MbtilesArchive`: tiles in an MBTiles file (specification 1.3), also one of `map` and `images` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import ImageryFacts
from ...domain.values.number_texts import read_decimals
from ...domain.values.tile_grid import MAX_LATITUDE, Bbox, GridRange, shared_range
from .checked_database import CheckedDatabase
from .sqlite_tiles import Level, SqliteArchive, SqliteTiles

_DEDUPLICATED = """
(SELECT zoom_level, tile_column, tile_row, tile_data FROM map JOIN images ON images.tile_id = map.tile_id)
"""
_METADATA_ROWS = 1_000


class MbtilesArchive(SqliteArchive):
    """See `TileArchive`. Rows count from the south, as the specification has it, unless `scheme` is `xyz`."""

    def __init__(self, path: Path, *, scheme: str | None = None) -> None:
        """Raises `ImagerySourceError`."""
        self.name = str(path)
        self._database = CheckedDatabase(path)
        try:
            names = self._database.names()
            if "tiles" not in names and not {"map", "images"} <= names:
                raise ImagerySourceError(
                    f"{path} is no MBTiles: it has no table or view `tiles`",
                    remedy="name the archive of tiles, or write it again",
                )
            metadata = self._metadata() if "metadata" in names else {}
            self._refuse_vectors(metadata)
            is_from_south = self._is_from_south(metadata, scheme)

            def level_of(zoom: int) -> Level | None:
                if zoom < 0:
                    return None
                return Level(zoom, zoom, first_y=(1 << zoom) - 1 if is_from_south else 0,
                             is_from_south=is_from_south)  # fmt: skip

            source = "tiles" if "tiles" in names else _DEDUPLICATED
            self._tiles = SqliteTiles(self._database, source, str(path), level_of)
            if scheme is None:
                self._check_bounds(metadata)
        except BaseException:
            self._database.close()
            raise
        self.extents = self._tiles.extents
        self.facts = ImageryFacts(
            kind="MBTiles",
            name=metadata.get("name"),
            attribution=metadata.get("attribution"),
            licence=metadata.get("license") or metadata.get("licence"),
            left_out={"tile beyond zoom 22": self._tiles.off_zooms} if self._tiles.off_zooms else {},
        )

    def _metadata(self) -> dict[str, str]:
        rows: list[tuple[Any, ...]] = self._database.rows(
            "SELECT name, value FROM metadata WHERE length(value) < 65536 LIMIT ?", (_METADATA_ROWS,)
        )
        return {name: str(value) for name, value in rows if isinstance(name, str) and value is not None}

    def _refuse_vectors(self, metadata: dict[str, str]) -> None:
        if metadata.get("format", "").lower() in ("pbf", "mvt"):
            raise ImagerySourceError(
                f"{self.name} holds vector tiles, which show no ground", remedy="name an archive of imagery"
            )

    def _is_from_south(self, metadata: dict[str, str], scheme: str | None) -> bool:
        said = metadata.get("scheme", "tms").lower()
        if scheme is None and said != "tms":
            raise ImagerySourceError(
                f"the metadata of {self.name} say that its rows are in {said!r:.20} order; MBTiles has them "
                "in TMS order",
                remedy="say which with --scheme xyz or --scheme tms, and look at the printed coverage",
            )
        return scheme in (None, "tms")

    def _check_bounds(self, metadata: dict[str, str]) -> None:
        """Refuse tiles of which none lies within the bounds of the metadata, counted from the south."""
        try:
            west, south, east, north = read_decimals(metadata["bounds"], 4)
            box = Bbox(max(south, -MAX_LATITUDE), west, min(north, MAX_LATITUDE), east)
        except (KeyError, ValueError):
            return
        zoom, tiles = max(self._tiles.extents.items())
        bounds = GridRange.covering(box, zoom)
        last = (1 << zoom) - 1
        if shared_range(tiles, bounds) is not None:
            return
        from_north = attrs.evolve(tiles, min_y=last - tiles.max_y, max_y=last - tiles.min_y)
        fits = "no order fits them" if shared_range(from_north, bounds) is None else "--scheme xyz fits"
        raise ImagerySourceError(
            f"no tile of {self.name} lies within the bounds that its metadata name, in TMS order",
            remedy=f"{fits}; --scheme tms takes the tiles as they are",
        )
