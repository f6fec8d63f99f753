"""Numbers that stand in the extension's C and in Python are the same."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import attrs
import pytest

from aerotile.adapters.config.sections import ReadsConfig
from aerotile.domain.policies.jpeg import JpegFault
from aerotile.domain.values import catalogue_entries, disk_usage, shapes, tile_grid, tile_key
from aerotile.domain.values.catalogue_entries import VOTING_CODES, CatalogueEntry
from aerotile.domain.values.sectors import SectorClassification
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import TileSource

EXT = Path(__file__).parents[2] / "ext"
FLIGHT = UUID(int=5)
VARIANTS = VariantTable((FLIGHT,))
IN_PYTHON: dict[str, float] = {
    "MAX_ZOOM": tile_grid.MAX_ZOOM,
    "MAX_LATITUDE": tile_grid.MAX_LATITUDE,
    "EARTH_RADIUS_M": shapes.EARTH_RADIUS_M,
    "ROUNDING": shapes.ROUNDING,
    "MORTON_BITS": tile_key.MORTON_BITS,
    "VARIANT_BITS": tile_key.VARIANT_BITS,
    "VARIANT_MASK": tile_key.MAX_VARIANTS - 1,
    "SATELLITE_PROVIDER_ORDINAL": VARIANTS.ordinal(TileSource.SATELLITE_PROVIDER, None),
    "IMPORTED_ORDINAL": VARIANTS.ordinal(TileSource.IMPORTED, None),
    "FIRST_FLIGHT_ORDINAL": VARIANTS.ordinal(TileSource.ONBOARD, FLIGHT),
    "SHA256_BYTES": catalogue_entries.SHA256_BYTES,
    "MAX_DISK_BYTES": catalogue_entries.MAX_DISK_BYTES,
    "DOWNGRADED": catalogue_entries.DOWNGRADED,
    "PINNED": catalogue_entries.PINNED,
    "UPLOADED": catalogue_entries.UPLOADED,
    "EVICTABLE": catalogue_entries.EVICTABLE,
    "FOOTPRINT_BLOCK": disk_usage.BLOCK_BYTES,
    "FOOTPRINT_PAIR": disk_usage.PAIR_BYTES,
    "VOTING_SHIFT": catalogue_entries.VOTING_SHIFT,
    "VOTING_CODE_COUNT": len(VOTING_CODES),
    "CLASSIFICATION_COUNT": len(SectorClassification),
    "ENTRY_FIELD_COUNT": len(attrs.fields(CatalogueEntry)),
    **{fault.name if fault else "NO_FAULT": fault.value for fault in JpegFault},
}


DEFINITION = re.compile(r"^ +(?:#define AEROTILE_)?([A-Z0-9_]+)(?: =)? (.+)$", re.MULTILINE)
"""A member of an enum, or a macro."""


def in_extension() -> dict[str, float]:
    found = DEFINITION.findall((EXT / "_constants.pxd").read_text())
    return {name: eval(value, {"INT64_C": int}) for name, value in found}


def test_each_constant_of_the_extension_has_the_value_that_it_has_in_python() -> None:
    found = in_extension()
    del found["MAX_MAPPINGS"]  # the test below
    assert found == IN_PYTHON


def test_as_many_mappings_can_be_configured_as_the_extension_takes() -> None:
    most = int(in_extension()["MAX_MAPPINGS"])
    assert ReadsConfig(max_mappings=most).max_mappings == most
    with pytest.raises(ValueError, match="max_mappings"):
        ReadsConfig(max_mappings=most + 1)


def test_no_other_file_of_the_extension_defines_one_of_the_constants_again() -> None:
    names = set(in_extension())
    again = {
        (path.name, name)
        for pattern in ("*.pyx", "*.pxd")
        for path in EXT.glob(pattern)
        if path.name != "_constants.pxd"
        for name in re.findall(
            r"^ +(?:#define AEROTILE_)?([A-Z0-9_]+)(?: =)? .+$", path.read_text(), re.MULTILINE
        )
        if name in names
    }
    assert again == set()
