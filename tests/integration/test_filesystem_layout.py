"""Paths of tiles and back again."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.layout import parse_sidecar, sidecar_line, temporary_name, tile_path
from aerotile.domain.values.inventory import FoundFile, FoundKind
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHT = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def touch(root: Path, path: str) -> None:
    """Make an empty file, and the folders that lead there."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()


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


@given(st.sets(tile_ids(), max_size=8))
def test_every_path_leads_back_to_its_tile(tile_ids: set[TileId]) -> None:
    with TemporaryDirectory() as folder, FilesystemTileFiles(Path(folder)) as files:
        expected = set()
        for tile_id in tile_ids:
            path = tile_path(tile_id)
            temporaries = [f"{path.folder}/{temporary_name(name)}" for name in (path.name, path.sidecar_name)]
            for file in (path.tile, path.sidecar, *temporaries):
                touch(Path(folder), file)
            expected |= {FoundFile(kind, tile_id) for kind in (FoundKind.TILE, FoundKind.SIDECAR)}
            expected |= {FoundFile(FoundKind.TEMPORARY, tile_id, temporary) for temporary in temporaries}
        found = list(files.inventory())
        assert len(found) == len(expected)
        assert set(found) == expected


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
        "imported/22/1/4194304.jpg",
        "imported/22/1/00000001.jpg",
        "imported/22/1/10000000.jpg",
        "imported/3/18446744073709551617/5.jpg",
        "imported/3/1/.jpg",
        "imported/3/1/.8.jpg.1-ab-0.tmp",
        "imported/3/-1/5.jpg",
        "imported/3/1/5.jpeg",
        "imported/3/1/5.JPG",
        "imported/3/1/5.jpg\n",
        "imported/3/1/\u0665.jpg",
        "imported/3/1/.5.jpg",
        "imported/3/1/5.jpg.12-ab-0.tmp",
        "imported/3/1/.5.jpg.tmp",
        "imported/3/1/.5.jpg.12-ab-0.tmp2",
        "imported/3/1/.5.jpg.12-ab-0\n.tmp",
        "imported/3/1/5.jpg.sha256.bak",
        f"imported/{FLIGHT}/3/1/5.jpg",
        "onboard/3/1/5.jpg",
        f"onboard/{FLIGHT.upper()}/3/1/5.jpg",
        f"onboard/{FLIGHT.replace('-', '')}/3/1/5.jpg",
        f"onboard/{{{FLIGHT}}}/3/1/5.jpg",
        f"onboard/{FLIGHT}/3/1/1/5.jpg",
        "imported/3/1",
        "imported/3/1/2/5.jpg",
        "Imported/3/1/5.jpg",
        "imported /3/1/5.jpg",
        "postgres/3/1/5.jpg",
        "5.jpg",
    ],
)
def test_a_foreign_path_is_no_tile(path: str, tmp_path: Path) -> None:
    touch(tmp_path, path)
    with FilesystemTileFiles(tmp_path) as files:
        assert list(files.inventory()) == []


NAME_PARTS = ["", ".", "..", "0", "00", "1", "5", "7", "8", "22", "4194303", "9999999", "-1", "+5", " ", "x"]
ENDINGS = ["", ".jpg", ".jpg.sha256", ".jpg.1-a0-2.tmp", ".jpg.sha256.1-a0-2.tmp", ".tmp", ".jpg.1-g-2.tmp"]


def meaning(path: str) -> FoundFile | None:
    """What the module's docstring says of a path, in other words than the code."""
    source, *flight, zoom_level, x, name = path.split("/")
    temporary = re.fullmatch(r"\.(.*?)\.jpg(\.sha256)?\.[0-9]+-[0-9a-f]+-[0-9]+\.tmp", name)
    kind = FoundKind.TEMPORARY if temporary else FoundKind.SIDECAR if name.endswith("256") else FoundKind.TILE
    y = temporary[1] if temporary else name.removesuffix(".sha256").removesuffix(".jpg")
    if not temporary and ".jpg" not in name:
        return None
    try:
        tile_id = TileId(
            int(zoom_level), int(x), int(y), TileSource(source), UUID(flight[0]) if flight else None
        )
    except ValueError:
        return None
    if [str(number) for number in (tile_id.zoom_level, tile_id.x, tile_id.y)] != [zoom_level, x, y]:
        return None
    return FoundFile(kind, tile_id, path if temporary else None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["imported", "satellite_provider", f"onboard/{FLIGHT}", "onboard", "other"]),
            st.sampled_from(NAME_PARTS[3:]),
            st.sampled_from(NAME_PARTS[3:]),
            st.builds(
                "".join, st.tuples(*(st.sampled_from(part) for part in (["", "."], NAME_PARTS, ENDINGS)))
            ),
        ),
        max_size=12,
    )
)
def test_names_mean_what_the_layout_says(paths: list[tuple[str, str, str, str]]) -> None:
    with TemporaryDirectory() as folder, FilesystemTileFiles(Path(folder)) as files:
        made = {"/".join(parts) for parts in paths if parts[-1] not in ("", ".", "..", "...")}
        for path in made:
            touch(Path(folder), path)
        expected = {meaning(path) for path in made} - {None}
        assert set(files.inventory()) == expected


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
