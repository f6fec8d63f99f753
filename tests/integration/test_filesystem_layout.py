"""Paths of tiles and back again."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.filesystem.layout import (
    found_file,
    may_hold_tiles,
    parse_sidecar,
    sidecar_line,
    temporary_name,
    tile_path,
)
from aerotile.domain.storage import FoundFile, FoundKind
from aerotile.domain.tiles import TileId, TileSource

FLIGHT = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


@st.composite
def tile_ids(draw: st.DrawFn) -> TileId:
    zoom = draw(st.integers(0, 22))
    column_or_row = st.integers(0, 2**zoom - 1)
    source = draw(st.sampled_from(TileSource))
    flight = draw(st.uuids()) if source is TileSource.ONBOARD else None
    return TileId(zoom, draw(column_or_row), draw(column_or_row), source, flight)


def test_the_layout_is_the_specified_one() -> None:
    path = tile_path(TileId(18, 152345, 90123, TileSource.ONBOARD, UUID(FLIGHT)))
    assert path.tile == f"onboard/{FLIGHT}/18/152345/90123.jpg"
    assert path.sidecar == f"onboard/{FLIGHT}/18/152345/90123.jpg.sha256"
    assert tile_path(TileId(0, 0, 0, TileSource.SATELLITE_PROVIDER)).tile == "satellite_provider/0/0/0.jpg"


@given(tile_ids())
def test_every_path_leads_back_to_its_tile(tile_id: TileId) -> None:
    path = tile_path(tile_id)
    temporaries = [f"{path.folder}/{temporary_name(name)}" for name in (path.name, path.sidecar_name)]
    assert found_file(path.tile) == FoundFile(FoundKind.TILE, tile_id, path.tile)
    assert found_file(path.sidecar) == FoundFile(FoundKind.SIDECAR, tile_id, path.sidecar)
    for temporary in temporaries:
        assert found_file(temporary) == FoundFile(FoundKind.TEMPORARY, tile_id, temporary)
    folder = path.folder
    while folder:
        assert may_hold_tiles(folder)
        folder = folder.rpartition("/")[0]


@given(tile_ids(), tile_ids())
def test_two_tiles_never_share_a_path(one: TileId, other: TileId) -> None:
    assert (tile_path(one) == tile_path(other)) == (one == other)


@pytest.mark.parametrize(
    "path",
    [
        "imported/3/01/5.jpg",
        "imported/03/1/5.jpg",
        "imported/3/1/05.jpg",
        "imported/3/8/5.jpg",
        "imported/3/1/8.jpg",
        "imported/23/1/5.jpg",
        "imported/3/-1/5.jpg",
        "imported/3/1/5.jpeg",
        "imported/3/1/5.JPG",
        "imported/3/1/5.jpg\n",
        "imported/3/1/\u0665.jpg",
        "imported/3/1/.5.jpg",
        "imported/3/1/5.jpg.12-ab-0.tmp",
        "imported/3/1/.5.jpg.tmp",
        "imported/3/1/5.jpg.sha256.bak",
        f"imported/{FLIGHT}/3/1/5.jpg",
        "onboard/3/1/5.jpg",
        f"onboard/{FLIGHT.upper()}/3/1/5.jpg",
        f"onboard/{FLIGHT}/3/1/../1/5.jpg",
        "/imported/3/1/5.jpg",
        "imported/3/1",
        "postgres/3/1/5.jpg",
        "",
    ],
)
def test_a_foreign_path_is_no_tile(path: str) -> None:
    assert found_file(path) is None


@pytest.mark.parametrize(
    "folder", ["lost+found", "imported/x", "imported/3/1/2", "Imported", "imported/03", ""]
)
def test_a_foreign_folder_holds_no_tiles(folder: str) -> None:
    assert not may_hold_tiles(folder)


def test_temporary_names_are_never_given_out_twice() -> None:
    assert len({temporary_name("5.jpg") for _ in range(1000)}) == 1000


def test_a_sidecar_is_one_line_that_names_its_tile() -> None:
    digest = "0123456789abcdef" * 4
    assert sidecar_line(digest, "5.jpg") == f"{digest}  5.jpg\n"
    assert parse_sidecar(sidecar_line(digest, "5.jpg"), "5.jpg") == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "0" * 64 + "  5.jpg",
        "0" * 64 + " 5.jpg\n",
        "0" * 64 + "  6.jpg\n",
        "0" * 63 + "  5.jpg\n",
        "A" * 64 + "  5.jpg\n",
        "0" * 64 + "  5.jpg\n" + "0" * 64 + "  6.jpg\n",
        "0" * 64 + "  5.jpg\n\n",
        "\0" * 73,
    ],
)
def test_a_damaged_sidecar_claims_nothing(text: str) -> None:
    assert parse_sidecar(text, "5.jpg") is None
