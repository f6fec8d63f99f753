"""Capture dates beside tiles: a CSV by tile, a STAC item; and the digests of sources."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.input_files.capture_dates import (
    CaptureDateError,
    read_dates_by_place,
    read_stac_date,
)
from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.source_digest import (
    digest_of_address,
    digest_of_file,
    digest_of_tiles,
)
from aerotile.adapters.input_files.tile_folder import TileFile
from aerotile.domain.values.datasets import DigestOf, SourceDigest

MAY = datetime(2024, 5, 1, tzinfo=timezone.utc)


def at(zoom: int, x: int, y: int) -> TileFile:
    return TileFile("tile", zoom, x, y, 1, False)


def csv_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "dates.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "z,x,y,captured_at\n3,1,2,2024-05-01\n22,4194303,0,2024-05-01T01:30:00+01:30\n0,0,0,2024-05-01\n",
        "captured_at,y,x,z\r\n2024-05-01,2,1,3\r\n2024-05-01,0,4194303,22\r\n\r\n2024-05-01,0,0,0",
        '\ufeffz, x, y, captured_at\n"3","1","2","2024-05-01"\n22,4194303,0,2024-05-01\n0,0,0,2024-05-01\n',
    ],
    ids=["plain", "other_order_and_line_ends", "byte_order_mark_and_quotes"],
)
def test_each_place_of_a_csv_has_its_date_and_others_have_none(tmp_path: Path, text: str) -> None:
    dates = read_dates_by_place(csv_of(tmp_path, text))
    assert len(dates) == 3
    assert {dates(at(3, 1, 2)), dates(at(22, (1 << 22) - 1, 0)), dates(at(0, 0, 0))} == {MAY}
    for other in (at(3, 2, 1), at(4, 1, 2), at(0, 1, 0), at(22, 0, 0), at(99, 0, 0), at(21, 1 << 21, 0)):
        assert dates(other) is None


def test_a_csv_without_a_line_dates_no_tile(tmp_path: Path) -> None:
    dates = read_dates_by_place(csv_of(tmp_path, "z,x,y,captured_at\n"))
    assert (len(dates), dates(at(0, 0, 0))) == (0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns of an empty file"),
        ("z,x,y\n3,1,2\n", "has the columns z, x, y"),
        ("z,x,y,captured_at,note\n3,1,2,2024-05-01,a\n", "has the columns z, x, y, captured_at, note"),
        ("z,x,x,captured_at\n3,1,2,2024-05-01\n", "has the columns z, x, x, captured_at"),
        ("z" * 1000, f"has the columns {'z' * 100}\\.{{3}}"),
        ("3,1,2,2024-05-01\n", "has the columns 3, 1, 2, 2024-05-01"),
        ("z,x,y,captured_at\n3,1,2,2024-05-01\n5,1,2\n", "line 3: 3 values for 4 columns"),
        ("z,x,y,captured_at\n3,8,2,2024-05-01\n", "line 2: 3/8/2 is no place of the grid"),
        ("z,x,y,captured_at\n23,0,0,2024-05-01\n", "line 2: 23/0/0 is no place"),
        ("z,x,y,captured_at\n3,-1,2,2024-05-01\n", "line 2: x must be a whole number"),
        ("z,x,y,captured_at\n3,1.0,2,2024-05-01\n", "line 2: x must be a whole number"),
        ("z,x,y,captured_at\n3,١,2,2024-05-01\n", "line 2: x must be a whole number"),
        ("z,x,y,captured_at\n3,1,2,yesterday\n", "line 2: 'yesterday' is no date"),
        ("z,x,y,captured_at\n3,1,2,2024-05-01T10:00\n", "line 2: .*no offset"),
        ("z,x,y,captured_at\n3,1,2,\n", "line 2: '' is no date"),
        (
            "z,x,y,captured_at\n3,1,2,2024-05-01\n3,1,3,2024-05-01\n3,1,2,2024-05-01\n",
            "names a place twice, in lines 2 and 4",
        ),
        ('z,x,y,captured_at\n3,1,2,"2024-05-01\n', "line 2: unexpected end of data"),
        (b"z,x,y,captured_at\n3,1,2,\xff\n", "not UTF-8"),
        ("z,x,y,captured_at\n" + "9" * 2000, "a line of more than 1000 bytes"),
    ],
)
def test_a_csv_that_can_not_be_relied_on_is_refused_by_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(CaptureDateError, match=message) as refused:
        read_dates_by_place(csv_of(tmp_path, text))
    assert "dates.csv" in str(refused.value)
    assert "nothing was stored" in (refused.value.remedy or "")


def item_of(folder: Path, properties: Any, **changes: Any) -> Path:
    path = folder / "item.json"
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "S2A_1", "properties": properties}
    path.write_text(json.dumps(item | changes))
    return path


@pytest.mark.parametrize(
    ("properties", "until"),
    [
        ({"datetime": "2024-05-01T00:00:00Z"}, None),
        ({"datetime": "2024-05-01T02:00:00.000+02:00"}, None),
        (
            {
                "datetime": None,
                "start_datetime": "2024-05-01T00:00:00Z",
                "end_datetime": "2024-06-01T00:00:00Z",
            },
            "2024-06-01T00:00:00+00:00",
        ),
        (
            {
                "datetime": "2024-05-20T00:00:00Z",
                "start_datetime": "2024-05-01T00:00:00Z",
                "end_datetime": "2024-06-01T00:00:00Z",
            },
            "2024-06-01T00:00:00+00:00",
        ),
    ],
)
def test_an_item_gives_its_time_and_of_a_range_the_start(
    tmp_path: Path, properties: dict[str, Any], until: str | None
) -> None:
    found = read_stac_date(item_of(tmp_path, properties))
    assert found.captured_at == MAY
    assert found.origin == "STAC item S2A_1" + (f", the start of a range until {until}" if until else "")


@pytest.mark.parametrize(
    ("properties", "changes", "message"),
    [
        ({}, {}, "neither datetime nor start_datetime"),
        ({"datetime": None}, {}, "neither datetime nor start_datetime"),
        ({"start_datetime": "2024-05-01T00:00:00Z"}, {}, "one is missing"),
        ({"datetime": "2024-05-01T00:00:00Z", "end_datetime": "2024-05-01T00:00:00Z"}, {}, "one is missing"),
        (
            {"start_datetime": "2024-05-02T00:00:00Z", "end_datetime": "2024-05-01T00:00:00Z"},
            {},
            "lies outside|lies behind",
        ),
        (
            {
                "datetime": "2023-05-01T00:00:00Z",
                "start_datetime": "2024-05-01T00:00:00Z",
                "end_datetime": "2024-06-01T00:00:00Z",
            },
            {},
            "datetime lies outside",
        ),
        ({"datetime": 20240501}, {}, "datetime must be a text"),
        ({"datetime": "2024-05-01T10:00:00"}, {}, "no offset"),
        ([], {}, "no properties"),
        ({"datetime": "2024-05-01T00:00:00Z"}, {"type": "Collection"}, "no STAC item but 'Collection'"),
    ],
)
def test_an_item_without_a_time_that_can_be_relied_on_is_refused(
    tmp_path: Path, properties: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CaptureDateError, match=message):
        read_stac_date(item_of(tmp_path, properties, **changes))


@pytest.mark.parametrize(
    ("bbox", "inside", "outside"),
    [
        ([9.9, 48.0, 11.9, 49.3], (10, 540, 352), (10, 352, 540)),
        ([9.9, 48.0, 0.0, 11.9, 49.3, 900.0], (10, 540, 352), (10, 500, 352)),
        ([179.0, 48, -179.0, 49], (10, 0, 352), (10, 512, 352)),
        ([179.0, 48, -179.0, 49], (10, 1023, 352), (10, 540, 352)),
    ],
)
def test_an_item_dates_the_tiles_of_its_ground_alone(
    tmp_path: Path, bbox: list[float], inside: tuple[int, int, int], outside: tuple[int, int, int]
) -> None:
    found = read_stac_date(item_of(tmp_path, {"datetime": "2024-05-01T00:00:00Z"}, bbox=bbox))
    assert found(at(*inside)) == MAY
    assert found(at(*outside)) is None
    assert found(at(3, 8, 0)) is None


SWATH = [[[9.9, 48.2], [11.7, 49.3], [11.9, 49.1], [10.1, 48.0], [9.9, 48.2]]]
IN_A_CORNER_OF_ITS_BOX = (12, 2162, 1402)


@pytest.mark.parametrize(
    "geometry",
    [{"type": "Polygon", "coordinates": SWATH}, {"type": "MultiPolygon", "coordinates": [SWATH]}],
    ids=["polygon", "multi_polygon"],
)
@pytest.mark.parametrize("bbox", [[9.9, 48.0, 11.9, 49.3], None])
def test_an_item_dates_no_tile_off_its_footprint(
    tmp_path: Path, geometry: dict[str, Any], bbox: list[float] | None
) -> None:
    properties = {"datetime": "2024-05-01T00:00:00Z"}
    found = read_stac_date(item_of(tmp_path, properties, bbox=bbox, geometry=geometry))
    assert found(at(12, 2172, 1412)) == MAY
    assert found(at(*IN_A_CORNER_OF_ITS_BOX)) is None
    boxed = read_stac_date(item_of(tmp_path, properties, bbox=[9.9, 48.0, 11.9, 49.3], geometry=None))
    assert boxed(at(*IN_A_CORNER_OF_ITS_BOX)) == MAY


@pytest.mark.parametrize(
    "rings",
    [[], [[[1, 2], [3, 4]]], [[[179, 1], [-179, 1], [-179, 2], [179, 2], [179, 1]]], "ring", [[[1]] * 4]],
)
def test_an_item_whose_footprint_is_none_is_refused(tmp_path: Path, rings: object) -> None:
    geometry = {"type": "Polygon", "coordinates": rings}
    with pytest.raises(CaptureDateError, match="its footprint is impossible"):
        read_stac_date(item_of(tmp_path, {"datetime": "2024-05-01T00:00:00Z"}, geometry=geometry))


@pytest.mark.parametrize("bbox", [[1, 2, 3], "1,2,3,4", [1, 2, 3, None], [11, 49, 12, 48], [0, -91, 1, 1]])
def test_an_item_whose_ground_is_none_is_refused(tmp_path: Path, bbox: object) -> None:
    with pytest.raises(CaptureDateError, match="its bbox is"):
        read_stac_date(item_of(tmp_path, {"datetime": "2024-05-01T00:00:00Z"}, bbox=bbox))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"type": NaN}', b"7"])
def test_what_is_no_item_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "item.json"
    path.write_bytes(content)
    with pytest.raises(CaptureDateError, match=r"item\.json gives no capture date"):
        read_stac_date(path)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "ortho.tif"
    path.write_bytes(b"a" * 3_000_000)
    assert digest_of_file(path) == SourceDigest(DigestOf.FILE, hashlib.sha256(b"a" * 3_000_000).hexdigest())
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        digest_of_file(tmp_path / "fifo")


def test_the_digest_of_a_folder_is_over_its_places_and_their_bytes_in_any_order(tmp_path: Path) -> None:
    tiles = []
    for zoom, x, y in ((10, 2, 1), (9, 300, 7), (10, 2, 0), (10, 11, 5)):
        path = tmp_path / f"{zoom}-{x}-{y}"
        path.write_bytes(f"{zoom}/{x}/{y}".encode())
        tiles.append(TileFile(str(path), zoom, x, y, 5, False))
    lines = "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n"
        for name in ("9/300/7", "10/2/0", "10/2/1", "10/11/5")
    )
    digest = digest_of_tiles(tiles)
    assert digest == SourceDigest(DigestOf.FOLDER, hashlib.sha256(lines.encode()).hexdigest())
    assert digest_of_tiles(tiles[::-1]) == digest
    Path(tiles[0].name).write_bytes(b"another")
    assert digest_of_tiles(tiles) != digest


def test_the_digest_of_an_address_is_over_its_text() -> None:
    address = "https://tiles.example/{z}/{x}/{y}.jpg"
    expected = SourceDigest(DigestOf.ADDRESS, hashlib.sha256(address.encode()).hexdigest())
    assert digest_of_address(address) == expected


@pytest.mark.parametrize(
    "address",
    ["https://a.example/{z}?key=s3cret", "https://me:s3cret@a.example/", "https://a.example/#s3cret"],
)
def test_an_address_that_may_hold_a_secret_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(InputFileError) as refused:
        digest_of_address(address)
    assert "s3cret" not in refused.value.explained
