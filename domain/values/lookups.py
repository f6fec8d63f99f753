"""A lookup as the flight record has it, and the fix that the flight stack made of one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from .areas import Area
from .corridors import Corridor
from .descriptors import SearchHit
from .shapes import Circle, MultiPolygon, Polygon, Shape
from .tile_grid import Bbox
from .tiles import TileId, parse_tile_id
from .validators import aware_utc, is_a, is_real, plain_numbers

LISTED_HITS = 1_000
"""How many hits of a lookup are recorded; their count is always whole."""
FLOAT32_BYTES = 4


@attrs.frozen(kw_only=True)
class Lookup:
    """What was asked of an index, and what the index answered."""

    run: str
    """Names the process that asked: sequence numbers begin anew with each."""
    sequence: int
    """Counts the lookups of the run from 1."""
    query: bytes | None
    """The descriptor's components as little-endian float32; None where the record has their digest alone."""
    query_sha256: str
    k: int
    near: Area | None
    """The prior; None: the whole index was searched."""
    generation: str | None
    """Of the index; None for an index that has no generations."""
    index_sha256: str
    hits: tuple[SearchHit, ...]
    """Nearest first, at most `LISTED_HITS`."""
    hit_count: int
    """All of them."""
    contents: tuple[str | None, ...] | None
    """The SHA-256 of each hit's tile as the store knew it; None for a tile that the store did not hold.

    None altogether where no store was open.
    """

    @property
    def name(self) -> str:
        """`run-sequence`, which names the lookup within a record."""
        return f"{self.run}-{self.sequence}"

    @property
    def unknown(self) -> list[TileId]:
        """The candidates that the store did not hold."""
        known = self.contents or ()
        return [hit.tile_id for hit, content in zip(self.hits, known, strict=False) if content is None]

    def to_payload(self) -> dict[str, Any]:
        """The lookup as JSON-ready values; `from_payload` reads it back."""
        contents: Sequence[str | None] = self.contents or [None] * len(self.hits)
        return {
            "lookup": self.name,
            "sequence": self.sequence,
            "query_sha256": self.query_sha256,
            "query": None if self.query is None else base64.b64encode(self.query).decode("ascii"),
            "k": self.k,
            "near": None if self.near is None else area_facts(self.near),
            "index_generation": self.generation,
            "index_sha256": self.index_sha256,
            "hits": [
                [str(hit.tile_id), _json_number(hit.distance), content]
                for hit, content in zip(self.hits, contents, strict=True)
            ],
            "hit_count": self.hit_count,
            "store_open": self.contents is not None,
            "unknown": len(self.unknown),
        }

    @classmethod
    def from_payload(cls, facts: Mapping[str, Any]) -> Lookup:
        """Read a payload. Raises `ValueError` for one that `to_payload` did not make."""
        try:
            return cls._from(facts)
        except (KeyError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
            raise ValueError(f"it is no lookup: {error!r}") from error

    @classmethod
    def _from(cls, facts: Mapping[str, Any]) -> Lookup:
        text = facts["query"]
        query = None if text is None else base64.b64decode(text, validate=True)
        digest = str(facts["query_sha256"])
        if query is not None and hashlib.sha256(query).hexdigest() != digest:
            raise ValueError("its query has another SHA-256 than it says")
        if query is not None and len(query) % FLOAT32_BYTES:
            raise ValueError(f"its query has {len(query)} bytes, which are no float32 numbers")
        hits = [
            (SearchHit(parse_tile_id(tile), float(distance)), content)
            for tile, distance, content in facts["hits"]
        ]
        near = facts["near"]
        return cls(
            run=str(facts["lookup"]).rpartition("-")[0],
            sequence=int(facts["sequence"]),
            query=query,
            query_sha256=digest,
            k=int(facts["k"]),
            near=None if near is None else area_of(near),
            generation=facts["index_generation"],
            index_sha256=str(facts["index_sha256"]),
            hits=tuple(hit for hit, _ in hits),
            hit_count=int(facts["hit_count"]),
            contents=tuple(content for _, content in hits) if facts["store_open"] else None,
        )


def _json_number(value: float) -> float | str:
    """The number, which JSON lacks where it is infinite; `float` reads both."""
    return value if math.isfinite(value) else repr(value)


def area_facts(area: Area) -> dict[str, Any]:
    """An area as JSON-ready values, to the last bit; `area_of` reads it back."""
    return {
        "shapes": [_shape_facts(shape) for shape in area.shapes],
        "zooms": None if area.zooms is None else sorted(area.zooms),
    }


def area_of(facts: Mapping[str, Any]) -> Area:
    """The area that `area_facts` described. Raises `ValueError`, `KeyError`, `TypeError`."""
    return Area([_shape_of(shape) for shape in facts["shapes"]], facts["zooms"])


def _shape_facts(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Circle):
        return {"circle": [shape.lat, shape.lon, shape.radius_m]}
    if isinstance(shape, Bbox):
        return {"box": [shape.min_lon, shape.min_lat, shape.max_lon, shape.max_lat]}
    if isinstance(shape, Corridor):
        return {"corridor": [shape.points, shape.half_width_m]}
    polygons = shape.polygons if isinstance(shape, MultiPolygon) else (shape,)
    return {"polygons": [polygon.rings for polygon in polygons]}


def _shape_of(facts: Mapping[str, Any]) -> Shape:
    ((kind, numbers),) = facts.items()
    if kind == "circle":
        lat, lon, radius_m = numbers
        return Circle(lat, lon, radius_m)
    if kind == "box":
        west, south, east, north = numbers
        return Bbox(south, west, north, east)
    if kind == "corridor":
        points, half_width_m = numbers
        return Corridor(points, half_width_m)
    if kind == "polygons":
        polygons = [Polygon(rings) for rings in numbers]
        return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    raise ValueError(f"a shape is a circle, a box, a corridor or polygons, got {kind!r}")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class PositionFix:
    """A position that the flight stack derived from a tile. Raises `ValueError` for impossible values."""

    tile_id: TileId = attrs.field(validator=is_a(TileId))
    """Whose pixels the frame was matched with."""
    lat: float
    """In degrees within -90..90."""
    lon: float
    """In degrees within -180..180."""
    fixed_at: datetime = attrs.field(validator=aware_utc)
    """When the frame was taken; aware."""
    error_m: float
    """Horizontal, 1-sigma, as the flight stack estimates it; metres, 0 or more."""
    lookup: str | None = attrs.field(default=None, validator=is_a(str, or_none=True))
    """The lookup that named the tile (`FoundTiles.lookup`)."""

    def __attrs_post_init__(self) -> None:
        for name, low, high, value in (
            ("lat", -90.0, 90.0, self.lat),
            ("lon", -180.0, 180.0, self.lon),
            ("error_m", 0.0, math.inf, self.error_m),
        ):
            if not is_real(value) or not low <= value <= high or math.isinf(value):
                raise ValueError(f"{name} must be a number within {low:g}..{high:g}, got {value!r}")
