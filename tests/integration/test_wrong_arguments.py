"""An argument of a wrong type is refused by its parameter's name, by every public function and value.

Every public name is in one of the groups below: a new name is called with wrong arguments or has a reason.
tests/integration/test_wrong_arguments_of_stores.py calls what the factories return.
"""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest
from public_api import is_alias, is_enumeration, is_error, public_names
from wrong_arguments import (
    BOX,
    DATASET,
    METADATA,
    NOW,
    TILE,
    TRIANGLE,
    methods_of,
    parameters_of,
    surprises,
)

from aerotile.domain.values.areas import Area
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.shapes import Circle, MultiPolygon, Polygon
from aerotile.domain.values.tile_grid import GridRange
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import TileMetadataPersistent

VALUES: dict[str, object] = {
    "Area": Area([BOX]),
    "Bbox": BOX,
    "Circle": Circle(1, 1, 1),
    "Corridor": Corridor(TRIANGLE, 500.0),
    "Dataset": DATASET,
    "GridRange": GridRange.covering(BOX, 5),
    "MultiPolygon": MultiPolygon([Polygon([TRIANGLE])]),
    "Polygon": Polygon([TRIANGLE]),
    "TileId": TILE,
    "TileMetadata": METADATA,
    "TileMetadataPersistent": TileMetadataPersistent.of(METADATA, created_at=NOW),
    "VariantTable": VariantTable(),
}
"""Values that a user makes and that have methods."""
PLAIN_VALUES = {
    "FlightEvent",
    "FreshnessRule",
    "HnswParams",
    "IndexMetadata",
    "PositionFix",
    "Secret",
    "SectorBoundary",
    "TileQualityMetadata",
    "UploadRequest",
}
RESULTS = {
    "AmendedTile",
    "BatchProgress",
    "CatalogueEntry",
    "CatalogueMatches",
    "ClockFault",
    "Degradation",
    "FoundTile",
    "FoundTiles",
    "FreshnessVerdict",
    "Health",
    "MigrationReport",
    "RecordEnvelope",
    "ReplacedTile",
    "SearchHit",
    "TilePixelHandle",
    "TileSpan",
    "TileUploadResult",
    "TileWriteOutcome",
    "UploadBatchReport",
    "UploadProblem",
    "UploadReason",
}
"""What calls return. Nobody else makes them, and no call takes them."""
PARTS_OF_THE_USER = {
    "Clock",
    "DescriptorSearch",
    "PixelReader",
    "SectorIndex",
    "SupportsJudging",
    "TileJudge",
}
"""Ports of objects that a user may give; Aerotile calls them."""
RETURNED = {
    "DatasetStore",
    "DescriptorIndex",
    "DescriptorModel",
    "FileBackedTileStore",
    "FlightRecorder",
    "HealthMonitor",
    "LayeredTileStore",
    "ReadableTiles",
    "RecordsLookups",
    "SupportsAreaSearch",
    "SupportsKeyListing",
    "SupportsLocalReads",
    "SupportsLocalWrites",
    "SupportsPins",
    "TileMetadataStore",
    "TileStore",
    "TileUploader",
}
"""What the factories return; see tests/integration/test_wrong_arguments_of_stores.py."""
GROUPS = (VALUES.keys(), PLAIN_VALUES, RESULTS, PARTS_OF_THE_USER, RETURNED)
OF_THE_DOMAIN = {
    "decode_tile_key",
    "derive_location_hash",
    "derive_tile_id",
    "encode_tile_key",
    "find_tiles",
    "ground_sample_distance",
}
"""Functions that need no configuration; the others are called with those that need one."""
EXAMPLES: dict[str, dict[str, Any]] = {
    "Dataset": {"source_sha256": "0" * 64},
    "GridRange": {"zoom_level": 5},
    "HnswParams": {"m": 32, "ef_construction": 10, "ef_search": 10},
    "IndexMetadata": {"built_at": NOW, "sha256": "0" * 64},
    "TileMetadata": {"content_sha256": "0" * 64},
    "TileMetadataPersistent": {"content_sha256": "0" * 64, "tile_uuid": TILE.tile_uuid},
    "TileId.covering": {"zoom_level": 5},
    "derive_location_hash": {"zoom_level": 5},
    "derive_tile_id": {"zoom_level": 5},
    "decode_tile_key": {"key": 1},
}


class _Index:
    def search(self, descriptor: object, k: int) -> list[Any]:
        raise AssertionError("an index that is never asked")


class _Store:
    def read_tile_pixels(self, tile_id: object) -> Any:
        raise AssertionError("a store that is never asked")

    def verdict(self, tile_id: object) -> None:
        return None


def is_configuration(value: Any) -> bool:
    return inspect.isclass(value) and value.__module__.startswith("aerotile.adapters.config.")


def test_every_public_name_is_called_with_wrong_arguments_or_has_a_reason() -> None:
    grouped = [name for group in GROUPS for name in group]
    assert len(grouped) == len(set(grouped))
    rest = {
        name
        for name, value in public_names().items()
        if not (is_alias(value) or is_enumeration(value) or is_error(value) or inspect.isfunction(value))
        and not (is_configuration(value) and name != "Secret")
    }
    assert rest == set(grouped)


@pytest.mark.parametrize("name", sorted({*VALUES, *PLAIN_VALUES}))
def test_a_constructor_names_what_it_refuses(name: str) -> None:
    kind = public_names()[name]
    assert list(surprises(name, kind, parameters_of(kind), **EXAMPLES.get(name, {}))) == []


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_method_of_a_value_names_what_it_refuses(name: str) -> None:
    value, found = VALUES[name], []
    for method in methods_of(value):
        full_name = f"{name}.{method}"
        call = getattr(value, method)
        found += surprises(full_name, call, parameters_of(call), **EXAMPLES.get(full_name, {}))
    assert found == []


@pytest.mark.parametrize("name", sorted(OF_THE_DOMAIN - {"find_tiles"}))
def test_a_function_names_what_it_refuses(name: str) -> None:
    function = public_names()[name]
    assert list(surprises(name, function, parameters_of(function), **EXAMPLES.get(name, {}))) == []


def test_find_tiles_names_what_is_no_index_store_or_area() -> None:
    function = public_names()["find_tiles"]
    parts = [p for p in parameters_of(function) if p.name in ("index", "store", "near")]
    asked = {"index": _Index(), "store": _Store(), "descriptor": None, "k": 1}

    def find(**given: Any) -> Any:
        return function(**(asked | given))

    assert list(surprises("find_tiles", find, parts, index=_Index(), store=_Store())) == []


@pytest.mark.parametrize("derive", ["derive_tile_id", "derive_location_hash"])
@pytest.mark.parametrize(
    ("place", "name"),
    [((3.0, 1, 1), "zoom_level"), ((23, 1, 1), "zoom_level"), ((3, -1, 1), "x"), ((3, 1, 8), "y")],
)
def test_no_name_is_derived_for_a_place_that_is_not_on_the_grid(
    derive: str, place: tuple[Any, Any, Any], name: str
) -> None:
    more = ("imported", None) if derive == "derive_tile_id" else ()
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        public_names()[derive](*place, *more)


@pytest.mark.parametrize(("source", "flight_id"), [("provider", None), ("onboard", None)])
def test_no_name_is_derived_for_a_tile_that_nobody_can_have(source: str, flight_id: None) -> None:
    with pytest.raises(ValueError, match=r"source|flight_id"):
        public_names()["derive_tile_id"](5, 1, 2, source, flight_id)


def test_an_iterables_own_error_arrives_as_it_is() -> None:
    def failing() -> Any:
        yield TILE
        raise LookupError("of the user")

    with pytest.raises(LookupError, match="of the user"):
        VariantTable.naming(failing())


def test_a_setting_of_a_wrong_type_is_refused_by_name() -> None:
    kinds = {name: value for name, value in public_names().items() if is_configuration(value)}
    found: list[str] = []
    for name, kind in kinds.items():
        if attrs.has(kind):
            for field in attrs.fields(kind):
                for wrong in (object(), 1.5j):
                    with pytest.raises((TypeError, ValueError)) as refused:
                        kind(**{field.name: wrong})
                    if field.name not in str(refused.value):
                        found.append(f"{name}.{field.name}: {refused.value}")
    assert found == []
