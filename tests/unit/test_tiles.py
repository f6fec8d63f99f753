"""Tile ids and metadata: what their constructors accept, and that each refusal shows what it refused."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import attrs
import mercantile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.tile_grid import MAX_ZOOM
from aerotile.domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
    parse_tile_id,
)

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
IMPORTED = TileId(3, 4, 2, TileSource.IMPORTED)
ONBOARD = TileId(3, 4, 2, TileSource.ONBOARD, FLIGHT)


def metadata(**changes: Any) -> TileMetadata:
    facts: dict[str, Any] = {
        "tile_id": IMPORTED,
        "captured_at": NOON,
        "content_sha256": "0" * 64,
        "disk_bytes": 1234,
        "ground_sample_distance": 19_567.88,
    }
    return TileMetadata(**{**facts, **changes})


def quality(**changes: Any) -> TileQualityMetadata:
    facts: dict[str, Any] = {
        "horizontal_error_m": 2.5,
        "inlier_count": 120,
        "mean_reprojection_error_px": 0.8,
        "sharpness": 310.0,
    }
    return TileQualityMetadata(**{**facts, **changes})


@given(st.data(), st.integers(0, MAX_ZOOM))
def test_every_cell_of_the_grid_has_a_tile_id(data: st.DataObject, zoom: int) -> None:
    coordinate = st.integers(0, (1 << zoom) - 1)
    tile = TileId(zoom, data.draw(coordinate), data.draw(coordinate), TileSource.IMPORTED)
    assert tile.bbox.contains(*tile.centre)
    assert TileId.covering(*tile.centre, zoom, TileSource.IMPORTED) == tile


@given(st.data(), st.integers(0, MAX_ZOOM))
def test_the_centre_of_a_tile_is_where_its_four_children_meet(data: st.DataObject, zoom: int) -> None:
    coordinate = st.integers(0, (1 << zoom) - 1)
    tile = TileId(zoom, data.draw(coordinate), data.draw(coordinate), TileSource.IMPORTED)
    north_western = mercantile.bounds(2 * tile.x, 2 * tile.y, zoom + 1)
    assert tile.centre == pytest.approx((north_western.south, north_western.east), abs=1e-9)


@given(st.integers(0, MAX_ZOOM), st.data())
def test_a_coordinate_outside_its_zoom_is_refused_by_value(zoom: int, data: st.DataObject) -> None:
    size = 1 << zoom
    outside = data.draw(st.integers(max_value=-1) | st.integers(min_value=size))
    for x, y in ((outside, 0), (0, outside)):
        with pytest.raises(ValueError, match=str(outside)):
            TileId(zoom, x, y, TileSource.IMPORTED)


@pytest.mark.parametrize(
    ("arguments", "offender"),
    [
        ((-1, 0, 0, TileSource.IMPORTED), "-1"),
        ((23, 0, 0, TileSource.IMPORTED), "23"),
        ((3.0, 0, 0, TileSource.IMPORTED), "3.0"),
        ((True, 0, 0, TileSource.IMPORTED), "True"),
        ((3, 1.5, 0, TileSource.IMPORTED), "1.5"),
        ((3, True, 0, TileSource.IMPORTED), "True"),
        ((3, 0, "7", TileSource.IMPORTED), "'7'"),
        ((3, 0, None, TileSource.IMPORTED), "None"),
        ((3, 0, 0, "onboard"), "'onboard'"),
        ((3, 0, 0, None), "None"),
        ((3, 0, 0, TileSource.ONBOARD, str(FLIGHT)), str(FLIGHT)),
        ((3, 0, 0, TileSource.ONBOARD, None), "None"),
        ((3, 0, 0, TileSource.IMPORTED, FLIGHT), str(FLIGHT)),
        ((3, 0, 0, TileSource.SATELLITE_PROVIDER, FLIGHT), str(FLIGHT)),
    ],
)
def test_an_impossible_tile_id_is_refused_by_value(arguments: tuple[Any, ...], offender: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the value in the message is checked below
        TileId(*arguments)
    assert offender in str(refusal.value)


@pytest.mark.parametrize("lat", [math.nan, math.inf, 85.1, -90.0])
def test_no_tile_covers_a_latitude_beyond_web_mercator(lat: float) -> None:
    with pytest.raises(ValueError, match=repr(lat).replace(".", r"\.")):
        TileId.covering(lat, 0.0, 10, TileSource.IMPORTED)


@pytest.mark.parametrize("lon", [math.nan, -math.inf, 180.1, -181.0])
def test_no_tile_covers_a_longitude_off_the_globe(lon: float) -> None:
    with pytest.raises(ValueError, match=repr(lon).replace(".", r"\.")):
        TileId.covering(0.0, lon, 10, TileSource.IMPORTED)


def test_tile_ids_are_values() -> None:
    assert TileId(3, 4, 2, TileSource.IMPORTED) == IMPORTED
    assert len({IMPORTED, TileId(3, 4, 2, TileSource.IMPORTED), ONBOARD}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        IMPORTED.x = 5  # type: ignore[misc] # that it can't be assigned is what is tested


def test_the_text_of_a_tile_id_is_its_path_below_the_root() -> None:
    assert str(IMPORTED) == "imported/3/4/2"
    assert str(ONBOARD) == f"onboard/{FLIGHT}/3/4/2"


def test_the_vocabularies_are_those_of_the_specification() -> None:
    assert [s.value for s in TileSource] == ["satellite_provider", "onboard", "imported"]
    assert [s.value for s in FreshnessLabel] == ["fresh", "downgraded"]
    assert [s.value for s in VotingStatus] == ["pending", "trusted", "rejected", "upload_giveup"]


@pytest.mark.parametrize(
    ("changes", "offender"),
    [
        ({"tile_id": (3, 4, 2)}, "(3, 4, 2)"),
        ({"captured_at": datetime(2026, 5, 1, 12)}, "datetime.datetime(2026, 5, 1, 12, 0)"),  # noqa: DTZ001 - naive on purpose
        ({"captured_at": NOON.astimezone(timezone(timedelta(hours=2)))}, "7200"),
        ({"captured_at": NOON.isoformat()}, NOON.isoformat()),
        ({"captured_at": None}, "None"),
        ({"content_sha256": "A" * 64}, "A" * 64),
        ({"content_sha256": "0" * 63}, "0" * 63),
        ({"content_sha256": "0" * 64 + "\n"}, r"\n"),
        ({"content_sha256": b"0" * 64}, "b'00"),
        ({"disk_bytes": 0}, "0"),
        ({"disk_bytes": -7}, "-7"),
        ({"disk_bytes": 1.5}, "1.5"),
        ({"tile_size_pixels": 0}, "0"),
        ({"tile_size_pixels": 256.0}, "256.0"),
        ({"tile_size_pixels": 1 << 31}, str(1 << 31)),
        ({"ground_sample_distance": 0.0}, "0.0"),
        ({"ground_sample_distance": math.nan}, "nan"),
        ({"ground_sample_distance": math.inf}, "inf"),
        ({"tile_id": "x"}, "tile_id must be of type TileId, got 'x'"),
        ({"captured_at": None}, "captured_at must be an aware datetime in UTC, got None"),
        ({"freshness_label": "fresh"}, "freshness_label must be of type FreshnessLabel, got 'fresh'"),
        ({"quality": "junk"}, "quality must be of type TileQualityMetadata or None, got 'junk'"),
        ({"tile_id": ONBOARD, "quality": 0}, "quality must be of type TileQualityMetadata or None, got 0"),
        ({"location_hash": "x"}, "location_hash must be of type UUID or None, got 'x'"),
        ({"voting_status": "pending"}, "'pending'"),
        ({"quality": quality()}, "imported"),
        ({"location_hash": ONBOARD.tile_uuid}, str(ONBOARD.tile_uuid)),
    ],
)
def test_impossible_metadata_is_refused_by_value(changes: dict[str, Any], offender: str) -> None:
    with pytest.raises(ValueError, match=re.escape(offender)):
        metadata(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"horizontal_error_m": -0.1},
        {"horizontal_error_m": math.nan},
        {"inlier_count": -1},
        {"inlier_count": 3.0},
        {"inlier_count": 1 << 31},
        {"mean_reprojection_error_px": math.inf},
        {"sharpness": "sharp"},
    ],
)
def test_impossible_quality_is_refused_by_name_and_value(changes: dict[str, Any]) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(ValueError, match=f"^{name} ") as refusal:
        quality(**changes)
    assert repr(value) in str(refusal.value)


def test_an_onboard_tile_carries_its_quality() -> None:
    assert metadata(tile_id=ONBOARD, quality=quality()).quality == quality()


def test_persistent_metadata_keeps_every_fact_and_adds_the_derived_ones() -> None:
    facts = metadata(voting_status=VotingStatus.PENDING, freshness_label=FreshnessLabel.DOWNGRADED)
    stored = TileMetadataPersistent.of(facts, created_at=NOON)
    for field in attrs.fields(TileMetadata):
        if field.name != "location_hash":
            assert getattr(stored, field.name) == getattr(facts, field.name)
    assert stored.location_hash == IMPORTED.location_hash
    assert stored.tile_uuid == IMPORTED.tile_uuid
    assert (stored.created_at, stored.accessed_at) == (NOON, NOON)
    assert (stored.uploaded_at, stored.upload_attempts, stored.pinned) == (None, 0, False)


@pytest.mark.parametrize(
    ("changes", "offender"),
    [
        ({"tile_uuid": ONBOARD.tile_uuid}, str(ONBOARD.tile_uuid)),
        ({"created_at": datetime(2026, 5, 1)}, "datetime.datetime(2026, 5, 1, 0, 0)"),  # noqa: DTZ001 - naive on purpose
        ({"uploaded_at": datetime(2026, 5, 2)}, "datetime.datetime(2026, 5, 2, 0, 0)"),  # noqa: DTZ001 - naive on purpose
        ({"created_at": None}, "created_at must be an aware datetime in UTC, got None"),
        ({"accessed_at": None}, "accessed_at must be an aware datetime in UTC, got None"),
        ({"upload_attempts": -1}, "-1"),
        ({"pinned": 1}, "pinned must be of type bool, got 1"),
    ],
)
def test_impossible_persistent_metadata_is_refused_by_value(changes: dict[str, Any], offender: str) -> None:
    stored = TileMetadataPersistent.of(metadata(), created_at=NOON)
    with pytest.raises(ValueError, match=re.escape(offender)):
        attrs.evolve(stored, **changes)


@pytest.mark.parametrize("tile_id", [IMPORTED, ONBOARD, TileId(0, 0, 0, TileSource.SATELLITE_PROVIDER)])
def test_the_text_of_a_tile_id_is_read_as_it_is_written(tile_id: TileId) -> None:
    assert parse_tile_id(str(tile_id)) == tile_id


@pytest.mark.parametrize(
    "text",
    [
        "imported/5/1_6/10",
        "imported/ 5/16/10",
        "imported/5/16/10\n",
        "imported/5/+16/10",
        "imported/5/٣/10",  # a digit of another script
        "imported/05/16/10",
        "imported/5/16",
        "imported/5/16/10/1",
        "imported/5/16/" + "2" * 5000,
        "imported/5/32/10",
        f"imported/{FLIGHT}/5/16/10",
        "onboard/5/16/10",
        f"onboard/{FLIGHT.hex}/5/16/10",
        f"onboard/{{{FLIGHT}}}/5/16/10",
        "elsewhere/5/16/10",
        "",
    ],
    ids=lambda text: text[:20],
)
def test_another_text_is_no_tile_id(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no tile id such as imported/5/16/10")):
        parse_tile_id(text)
