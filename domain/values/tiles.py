"""What Aerotile knows about a tile: its identity, its facts, and what the database adds to them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from enum import Enum
from uuid import UUID

import attrs

from .datasets import check_dataset_name
from .tile_grid import Bbox, check_zoom, column_and_row, north_west_corner, tile_bbox
from .tile_names import location_hash_of, tile_uuid_of
from .validators import (
    as_text,
    as_whole,
    aware_utc,
    check_aware_utc,
    check_kind,
    is_a,
    is_real,
    is_whole,
    plain_numbers,
    sha256_digits,
)


class TileSource(str, Enum):
    """Who made the tile."""

    SATELLITE_PROVIDER = "satellite_provider"
    """The satellite provider made it."""
    ONBOARD = "onboard"
    """The aircraft made it in flight; such a tile has a `flight_id`."""
    IMPORTED = "imported"
    """An operator brought it in."""


class FreshnessLabel(str, Enum):
    """The label that the freshness gate gave to an accepted tile."""

    FRESH = "fresh"
    """Its age was within the rule of its sectors."""
    DOWNGRADED = "downgraded"
    """It was older, in a sector that keeps old tiles with this label."""


class VotingStatus(str, Enum):
    """The provider's verdict on a tile; moves forward only (see `policies.voting`)."""

    PENDING = "pending"
    """The provider has given no verdict yet."""
    TRUSTED = "trusted"
    """The provider trusts it."""
    REJECTED = "rejected"
    """The provider refuses it: it is not sent any more."""
    UPLOAD_GIVEUP = "upload_giveup"
    """Its upload was rejected too often and was given up."""


@attrs.frozen
class TileId:
    """A tile's place on the grid and who made it.

    `flight_id` is required for `TileSource.ONBOARD` and forbidden otherwise.
    """

    zoom_level: int
    """0 to 22."""
    x: int
    """Column, from the antimeridian eastwards, below 2**zoom_level."""
    y: int
    """Row, from the northern edge southwards, below 2**zoom_level."""
    source: TileSource
    """Who made the tile."""
    flight_id: UUID | None = None
    """The flight that made an onboard tile; None for every other source."""

    def __attrs_post_init__(self) -> None:
        if not type(self.zoom_level) is type(self.x) is type(self.y) is int:
            # Instead of converters, which would be three more calls for every tile id.
            for name in ("zoom_level", "x", "y"):
                object.__setattr__(self, name, as_whole(getattr(self, name)))
        size = 1 << check_zoom(self.zoom_level)
        for name, value in (("x", self.x), ("y", self.y)):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size:
                raise ValueError(
                    f"{name} must be an integer within 0..{size - 1} at zoom {self.zoom_level}, got {value!r}"
                )
        if not isinstance(self.source, TileSource):
            raise ValueError(f"source must be a TileSource, got {self.source!r}")
        if self.flight_id is not None and not isinstance(self.flight_id, UUID):
            raise ValueError(f"flight_id must be a UUID, got {self.flight_id!r}")
        if (self.source is TileSource.ONBOARD) != (self.flight_id is not None):
            needs = "needs a" if self.source is TileSource.ONBOARD else "must not have a"
            raise ValueError(f"a tile from {self.source.value} {needs} flight_id, got {self.flight_id!r}")

    @classmethod
    def covering(
        cls, lat: float, lon: float, zoom_level: int, source: TileSource, flight_id: UUID | None = None
    ) -> TileId:
        """The tile that covers a place; refuses places that Web Mercator does not show."""
        x, y = column_and_row(lat, lon, zoom_level)
        return cls(zoom_level, x, y, source, flight_id)

    @property
    def centre(self) -> tuple[float, float]:
        """Latitude and longitude in degrees of the middle of the tile's pixels."""
        return north_west_corner(self.x + 0.5, self.y + 0.5, self.zoom_level)

    @property
    def bbox(self) -> Bbox:
        """The box that the tile covers."""
        return tile_bbox(self.x, self.y, self.zoom_level)

    @property
    def tile_uuid(self) -> UUID:
        """The name that the satellite provider derives too: one per place, source and flight."""
        return tile_uuid_of(self.zoom_level, self.x, self.y, self.source.value, self.flight_id)

    @property
    def location_hash(self) -> UUID:
        """The name of the place alone, shared by every source's tile of it."""
        return location_hash_of(self.zoom_level, self.x, self.y)

    def __str__(self) -> str:
        flight = f"/{self.flight_id}" if self.flight_id is not None else ""
        return f"{self.source.value}{flight}/{self.zoom_level}/{self.x}/{self.y}"


def derive_tile_id(zoom_level: int, x: int, y: int, source: TileSource | str, flight_id: UUID | None) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}/{source}/{flight or zero uuid}"`: one per stored tile.

    `source` is a `TileSource` or its value. Raises `ValueError` for what `TileId` refuses: no tile has such a
    name.
    """
    try:
        kind = TileSource(source)
    except ValueError:
        raise ValueError(f"source must be a TileSource or its value, got {source!r}") from None
    return TileId(zoom_level, x, y, kind, flight_id).tile_uuid


def derive_location_hash(zoom_level: int, x: int, y: int) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}"`: the same for every source's tile of one place.

    Raises `ValueError` for a place that is not on the grid.
    """
    return TileId(zoom_level, x, y, TileSource.IMPORTED).location_hash


_TILE_ID = re.compile(
    r"(?P<source>[a-z_]+)"
    r"(?:/(?P<flight>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}))?"
    r"/(?P<zoom>0|[1-9][0-9]?)/(?P<x>0|[1-9][0-9]{0,6})/(?P<y>0|[1-9][0-9]{0,6})"
)


def parse_tile_id(text: str) -> TileId:
    """Read `source[/flight]/zoom/x/y`, written as `str(tile_id)` writes it. Raises `ValueError`."""
    try:
        parts = _TILE_ID.fullmatch(text)
        if parts is None:
            raise ValueError("it is source/zoom/x/y or onboard/flight/zoom/x/y, in plain numbers")
        source, flight = TileSource(parts["source"]), parts["flight"]
        flight_id = None if flight is None else UUID(flight)
        return TileId(int(parts["zoom"]), int(parts["x"]), int(parts["y"]), source, flight_id)
    except ValueError as error:
        raise ValueError(f"{text!r} is no tile id such as imported/5/16/10: {error}") from error


def _not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not is_real(value) or not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a finite number of 0 or more, got {value!r}")


def _positive(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    _not_negative(instance, attribute, value)
    if value == 0:
        raise ValueError(f"{attribute.name} must be greater than 0, got {value!r}")


def _whole(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not is_whole(value) or value < 0:
        raise ValueError(f"{attribute.name} must be a whole number of 0 or more, got {value!r}")


def _positive_whole(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    _whole(instance, attribute, value)
    if value == 0:
        raise ValueError(f"{attribute.name} must be greater than 0, got {value!r}")


MOST_COUNTED = (1 << 31) - 1
"""The greatest count and size in pixels: what a whole number in the database holds."""


def _counted(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    _whole(instance, attribute, value)
    if value > MOST_COUNTED:
        raise ValueError(f"{attribute.name} must be {MOST_COUNTED} or less, got {value!r}")


def _positive_counted(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    _positive_whole(instance, attribute, value)
    _counted(instance, attribute, value)


@attrs.frozen(field_transformer=plain_numbers)
class TileQualityMetadata:
    """How well an onboard tile was placed on the ground by the estimator that made it."""

    horizontal_error_m: float = attrs.field(validator=_not_negative)
    """One standard deviation, metres."""
    inlier_count: int = attrs.field(validator=_counted)
    """Matches that agree with the estimated position."""
    mean_reprojection_error_px: float = attrs.field(validator=_not_negative)
    """Pixels."""
    sharpness: float = attrs.field(validator=_not_negative)
    """Variance of the Laplacian of the pixels; larger is sharper."""


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class TileMetadata:
    """The facts about a tile that travel with its bytes."""

    tile_id: TileId = attrs.field(validator=is_a(TileId))
    """Which tile it is."""
    captured_at: datetime = attrs.field(validator=aware_utc)
    """When the ground looked like that, not when the file was fetched."""
    content_sha256: str = attrs.field(converter=as_text, validator=sha256_digits)
    """Of the JPEG bytes, 64 lower-case hexadecimal digits."""
    disk_bytes: int = attrs.field(validator=_positive_whole)
    """Length of the JPEG."""
    tile_size_pixels: int = attrs.field(default=256, validator=_positive_counted)
    """Width and height."""
    ground_sample_distance: float = attrs.field(validator=_positive)
    """Metres of ground per pixel."""
    freshness_label: FreshnessLabel = attrs.field(
        default=FreshnessLabel.FRESH, validator=is_a(FreshnessLabel)
    )
    """`downgraded` when the freshness gate found the tile too old at its write."""
    voting_status: VotingStatus | None = attrs.field(default=None, validator=is_a(VotingStatus, or_none=True))
    """The provider's verdict. For an onboard tile None means the same as `pending`, no verdict yet: the tile
    waits for its upload with either, and is stored as it was given. None for a tile of another source."""
    quality: TileQualityMetadata | None = attrs.field(
        default=None, validator=is_a(TileQualityMetadata, or_none=True)
    )
    """Of an onboard tile; forbidden for every other source."""
    location_hash: UUID | None = attrs.field(default=None, validator=is_a(UUID, or_none=True))
    """UUID of the grid position; checked when it is given, derived when the tile is stored."""
    dataset: str | None = attrs.field(default=None, converter=as_text)
    """The name of the dataset that it came from; None for a tile of none, such as every onboard tile."""

    def __attrs_post_init__(self) -> None:
        if self.quality is not None and self.tile_id.source is not TileSource.ONBOARD:
            raise ValueError(
                f"only onboard tiles carry quality, this one is from {self.tile_id.source.value}"
            )
        if self.location_hash is not None and self.location_hash != self.tile_id.location_hash:
            raise ValueError(f"location_hash {self.location_hash} is not that of {self.tile_id}")
        if self.dataset is not None:
            check_dataset_name(self.dataset)
            if self.tile_id.source is TileSource.ONBOARD:
                raise ValueError(f"an onboard tile is of no dataset, this one names {self.dataset!r}")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class TileMetadataPersistent(TileMetadata):
    """A tile's facts with what the database knows about it."""

    tile_uuid: UUID = attrs.field()
    """UUID of position, source and flight; the provider derives the same."""
    created_at: datetime = attrs.field(validator=aware_utc)
    """When the row was inserted."""
    accessed_at: datetime = attrs.field(validator=aware_utc)
    """When the tile was last read; at first `created_at`."""
    uploaded_at: datetime | None = attrs.field(default=None, validator=attrs.validators.optional(aware_utc))
    """When the provider said that it holds this content; None until then."""
    upload_attempts: int = attrs.field(default=0, validator=_whole)
    """Rejections of its upload so far."""
    pinned: bool = attrs.field(default=False, validator=is_a(bool))
    """A pinned tile is never evicted."""

    @tile_uuid.validator
    def _derived(self, _: attrs.Attribute[UUID], value: UUID) -> None:
        if value != self.tile_id.tile_uuid:
            raise ValueError(f"tile_uuid {value} is not that of {self.tile_id}")

    @classmethod
    def of(
        cls, metadata: TileMetadata, *, created_at: datetime, accessed_at: datetime | None = None
    ) -> TileMetadataPersistent:
        """The persistent form of `metadata` as it is right after its row was inserted."""
        check_kind(metadata, TileMetadata, "metadata")
        check_aware_utc(created_at, "created_at")
        if accessed_at is not None:
            check_aware_utc(accessed_at, "accessed_at")
        tile_id = metadata.tile_id
        # Every other field was validated with `metadata` or is derived here. Every write calls this, and to
        # derive the names again only to compare them would be most of its cost.
        stored = cls.__new__(cls)
        put = object.__setattr__
        put(stored, "tile_id", tile_id)
        put(stored, "captured_at", metadata.captured_at)
        put(stored, "content_sha256", metadata.content_sha256)
        put(stored, "disk_bytes", metadata.disk_bytes)
        put(stored, "tile_size_pixels", metadata.tile_size_pixels)
        put(stored, "ground_sample_distance", metadata.ground_sample_distance)
        put(stored, "freshness_label", metadata.freshness_label)
        put(stored, "voting_status", metadata.voting_status)
        put(stored, "quality", metadata.quality)
        put(stored, "location_hash", tile_id.location_hash)
        put(stored, "dataset", metadata.dataset)
        put(stored, "tile_uuid", tile_id.tile_uuid)
        put(stored, "created_at", created_at)
        put(stored, "accessed_at", created_at if accessed_at is None else accessed_at)
        put(stored, "uploaded_at", None)
        put(stored, "upload_attempts", 0)
        put(stored, "pinned", False)
        return stored
