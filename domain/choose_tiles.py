"""`choose_tiles`: which tiles of a store or a base an export or a description takes, by their facts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs
import numpy as np
import numpy.typing as npt

from .errors import ImagerySourceError, TileMetadataError
from .intake.mosaic import in_ranges
from .intake.wanted_places import WantedZoom
from .values.areas import Area
from .values.catalogue_entries import CatalogueColumns, Keys
from .values.counted import counted
from .values.coverage import ZoomCoverage, coverage_of, runs_of
from .values.tile_key import MAX_VARIANTS, MORTON_BITS, VARIANT_BITS, VariantTable, decode_tile_key
from .values.tiles import TileId, TileSource
from .values.timestamps import timestamp_of


@attrs.frozen(kw_only=True)
class TilePlan:
    """Which tiles to take."""

    area: Area | None = None
    """None: everywhere."""
    zooms: Sequence[int] = ()
    """Empty: all."""
    variant: str | None = None
    """A source, or `onboard/FLIGHT`; None: all but what was made on board."""


@attrs.frozen(eq=False)
class ChosenTiles:
    """The tiles that a plan takes, and how many it leaves out by reason. Sorted by key."""

    columns: CatalogueColumns
    variants: VariantTable
    left_out: Counter[str]

    def __len__(self) -> int:
        return len(self.columns)

    def tile_id(self, position: int) -> TileId:
        """Which tile it is."""
        return decode_tile_key(int(self.columns.keys[position]), self.variants)

    def sha256(self, position: int) -> bytes:
        """The committed digest of its bytes."""
        digest: bytes = self.columns.content_sha256[position].tobytes()
        return digest

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


def choose_tiles(columns: CatalogueColumns, variants: VariantTable, plan: TilePlan) -> ChosenTiles:
    """The tiles that a plan takes; a place may have several, of several sources.

    Raises `ImagerySourceError` where there are tiles to take, but none of one of the plan's zooms.
    """
    columns = columns.at(np.argsort(columns.keys))
    reasons = np.array([_reason(key, variants, plan) for key in columns.keys.tolist()], object)
    _mark_outside(reasons, columns.keys, variants, plan.area)
    left_out = Counter(reason for reason in reasons.tolist() if reason is not None)
    chosen = columns.at(reasons == None)  # noqa: E711 - an array is compared value by value
    taken = sorted(set((chosen.keys >> (MORTON_BITS + VARIANT_BITS)).tolist()))
    if taken and (missing := sorted(set(plan.zooms) - set(taken))):
        raise ImagerySourceError(
            f"there is no tile of zoom {in_ranges(missing)} to take (of these: {in_ranges(taken)})",
            remedy="leave these zooms out of --zoom, or bring their tiles in first",
        )
    return ChosenTiles(chosen, variants, left_out)


def refuse_twins(chosen: ChosenTiles) -> None:
    """Raise `TileMetadataError` where two of the tiles have one place, for an archive that holds one."""
    keys = chosen.columns.keys
    twins = np.flatnonzero(keys[1:] >> VARIANT_BITS == keys[:-1] >> VARIANT_BITS)
    if len(twins):
        first, second = (chosen.tile_id(int(twins[0]) + i) for i in (0, 1))
        raise TileMetadataError(
            f"the store holds two tiles at {counted(len(twins), 'place')}, such as {first} and {second}, "
            "and an archive holds one",
            tile_id=first,
            remedy="say which with --source",
        )


def _reason(key: int, variants: VariantTable, plan: TilePlan) -> str | None:
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
