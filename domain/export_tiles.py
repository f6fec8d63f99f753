"""`export_tiles`: copy tiles of a store into an archive for other programs, byte for byte."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import attrs
import numpy as np
import numpy.typing as npt

from .errors import ContentHashMismatchError, TileMetadataError
from .intake.wanted_places import WantedZoom
from .ports.imagery_source import TilePlace
from .ports.tile_archive import ArchiveFacts, TileArchiveWriter
from .values.areas import Area
from .values.catalogue_entries import CatalogueColumns, Keys
from .values.coverage import ZoomCoverage, coverage_of, runs_of
from .values.tile_grid import Bbox
from .values.tile_key import MAX_VARIANTS, VARIANT_BITS, VariantTable, decode_tile_key
from .values.tiles import TileId, TileSource
from .values.timestamps import timestamp_of


@attrs.frozen(kw_only=True)
class ExportPlan:
    """Which tiles of a store to export."""

    area: Area | None = None
    """None: everywhere."""
    zooms: Sequence[int] = ()
    """None: all."""
    variant: str | None = None
    """A source, or `onboard/FLIGHT`; None: all but what was made on board."""


@attrs.frozen(eq=False)
class ChosenTiles:
    """The tiles that a plan takes, one a place, and how many it leaves out by reason. Sorted by key."""

    columns: CatalogueColumns
    variants: VariantTable
    left_out: Counter[str]

    def __len__(self) -> int:
        return len(self.columns)

    def tile_id(self, position: int) -> TileId:
        """Which tile it is."""
        return decode_tile_key(int(self.columns.keys[position]), self.variants)

    def __iter__(self) -> Iterator[TileId]:
        return (self.tile_id(position) for position in range(len(self)))

    def captured_at(self, position: int) -> datetime:
        """When the ground of a tile looked like that."""
        return timestamp_of(int(self.columns.captured_us[position]))

    @property
    def disk_bytes(self) -> int:
        """The bytes of all JPEGs."""
        return int(self.columns.disk_bytes.sum())

    def coverage(self) -> list[ZoomCoverage]:
        """The ground that they cover."""
        return coverage_of(runs_of((one.zoom_level, one.x, one.y) for one in self))

    def facts(self, name: str, tile_size_pixels: int) -> ArchiveFacts:
        """What an archive of them says about itself."""
        coverage = self.coverage()
        boxes = [box for one in coverage for box in one.boxes]
        bounds = Bbox(
            min(box.min_lat for box in boxes),
            min(box.min_lon for box in boxes),
            max(box.max_lat for box in boxes),
            max(box.max_lon for box in boxes),
        )
        return ArchiveFacts(
            name=name,
            bounds=bounds,
            zooms=tuple(one.zoom_level for one in coverage),
            tile_size_pixels=tile_size_pixels,
        )


def choose_tiles(columns: CatalogueColumns, variants: VariantTable, plan: ExportPlan) -> ChosenTiles:
    """The tiles that a plan takes. Raises `TileMetadataError` for two tiles of one place."""
    columns = columns.at(np.argsort(columns.keys))
    reasons = np.array([_reason(key, variants, plan) for key in columns.keys.tolist()], object)
    _mark_outside(reasons, columns.keys, variants, plan.area)
    left_out = Counter(reason for reason in reasons.tolist() if reason is not None)
    chosen = columns.at(reasons == None)  # noqa: E711 - an array is compared value by value
    twins = np.flatnonzero(chosen.keys[1:] >> VARIANT_BITS == chosen.keys[:-1] >> VARIANT_BITS)
    if len(twins):
        first, second = (decode_tile_key(int(chosen.keys[twins[0] + i]), variants) for i in (0, 1))
        raise TileMetadataError(
            f"the store holds two tiles at {len(twins)} places, such as {first} and {second}, "
            "and an archive holds one",
            tile_id=first,
            remedy="say which with --source",
        )
    return ChosenTiles(chosen, variants, left_out)


def _reason(key: int, variants: VariantTable, plan: ExportPlan) -> str | None:
    source, flight = variants.variant(key & (MAX_VARIANTS - 1))
    if plan.variant is None and source is TileSource.ONBOARD:
        return "made on board, not asked for"
    if plan.variant is not None and plan.variant not in (source.value, f"{source.value}/{flight}"):
        return "of another source"
    if plan.zooms and decode_tile_key(key, variants).zoom_level not in plan.zooms:
        return "another zoom"
    return None


def _mark_outside(
    reasons: npt.NDArray[np.object_], keys: Keys, variants: VariantTable, area: Area | None
) -> None:
    if area is None:
        return
    rows: dict[int, dict[int, list[tuple[int, int]]]] = {}
    for position, reason in enumerate(reasons.tolist()):
        if reason is not None:
            continue
        tile_id = decode_tile_key(int(keys[position]), variants)
        if tile_id.zoom_level not in rows:
            rows[tile_id.zoom_level] = _rows_of(area, tile_id.zoom_level)
        spans = rows[tile_id.zoom_level].get(tile_id.y, ())
        if not any(low <= tile_id.x <= high for low, high in spans):
            reasons[position] = "outside the area"


def _rows_of(area: Area, zoom_level: int) -> dict[int, list[tuple[int, int]]]:
    rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    spans = WantedZoom.of(area, zoom_level).spans
    assert spans is not None
    for y, low, high in zip(spans.y.tolist(), spans.min_x.tolist(), spans.max_x.tolist(), strict=True):
        rows[y].append((low, high))
    return rows


def export_tiles(
    chosen: ChosenTiles,
    read_bytes: Callable[[TileId], bytes],
    writer: TileArchiveWriter,
    *,
    name: str,
    tile_size_pixels: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the tiles into the archive, which is durable under its name when this returns.

    Each tile has the digest that the store committed: one that differs ends the export, and so does an error.
    Then there is no archive. Needs at least one tile. Raises `ContentHashMismatchError`,
    `TileNotFoundError`, `StoreUnavailableError`, `OSError`.
    """
    with writer:
        order = writer.order(chosen.columns.keys)
        for done, position in enumerate(order.tolist(), 1):
            tile_id = chosen.tile_id(position)
            pixels, digest = read_bytes(tile_id), chosen.columns.content_sha256[position].tobytes()
            actual = hashlib.sha256(pixels).digest()
            if actual != digest:
                raise ContentHashMismatchError(
                    "SHA-256", expected=digest.hex(), actual=actual.hex(), tile_id=tile_id
                )
            writer.add(TilePlace(tile_id.zoom_level, tile_id.x, tile_id.y), pixels, digest)
            progress(done, len(chosen))
        writer.finish(chosen.facts(name, tile_size_pixels))
