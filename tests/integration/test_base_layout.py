"""A reader of a base in pure Python, written from docs/base.md alone: the page says what lies there."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from bisect import bisect_left
from pathlib import Path
from typing import Any

import attrs
import pytest
from sealed_bases import FLIGHTS, dataset, imported, of_dataset, pixels_of, source_of, square, tile

from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import SealedIndex
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.values.tiles import TileId, TileSource, VotingStatus
from aerotile.domain.values.timestamps import microseconds_of

ROW = struct.Struct("<qQq32sII4dIHH")


class PlainReader:
    """Reads tiles by `facts`, every part of every file checked."""

    def __init__(self, folder: Path) -> None:
        envelope = json.loads((folder / "manifest.json").read_bytes())
        assert envelope["payloadType"] == "application/vnd.aerotile.base+json"
        self.manifest: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        assert self.manifest["format"] == 2
        digests = (folder / "digests").read_bytes()
        self.content = {}
        for name in self.names():
            about = self.manifest["files"][name]
            content = self.content[name] = (folder / name).read_bytes()
            assert len(content) == about["size"]
            of_file = digests[: 32 * -(-about["size"] // about["part_bytes"])]
            digests = digests[len(of_file) :]
            assert hashlib.sha256(of_file).hexdigest() == about["digest"]
            for number in range(len(of_file) // 32):
                part = content[number * about["part_bytes"] : (number + 1) * about["part_bytes"]]
                assert hashlib.sha256(part).digest() == of_file[32 * number : 32 * number + 32]
        assert ROW.size == 104
        self.rows = list(ROW.iter_unpack(self.content["facts"]))
        self.keys = [row[0] for row in self.rows]
        assert self.keys == sorted(set(self.keys))
        assert list(struct.unpack(f"<{len(digests) // 8}q", digests)) == self.keys[::512]
        assert hashlib.sha256(digests).hexdigest() == self.manifest["first_keys_sha256"]

    def names(self) -> list[str]:
        names = ["tiles.pmtiles", "facts", "sectors.json"]
        if "index" in self.manifest:
            names += ["tiles.index", "tiles.descriptors", "tiles.rows", "tiles.meta.json"]
        return names

    def key(self, zoom: int, x: int, y: int, source: str, flight: str | None) -> int:
        curve = 0
        for bit in range(22):
            curve |= (x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1
        variant = {"satellite_provider": 0, "imported": 1}.get(source)
        if variant is None:
            variant = 2 + self.manifest["flights"].index(flight)
        return (zoom << 44 | curve) << 14 | variant

    def row(self, *place: Any) -> tuple[Any, ...]:
        key = self.key(*place)
        row: tuple[Any, ...] = self.rows[bisect_left(self.keys, key)]
        assert row[0] == key
        return row

    def pixels(self, *place: Any) -> bytes:
        row = self.row(*place)
        offset, length = row[1], row[4]
        assert 16_384 <= offset <= offset + length <= len(self.content["tiles.pmtiles"])
        pixels = self.content["tiles.pmtiles"][offset : offset + length]
        assert hashlib.sha256(pixels).digest() == row[3]
        return pixels


def write_index(folder: Path, keys: Any, variants: Any) -> SealedIndex:
    """Any bytes: `digests` covers the files of an index whatever is in them."""
    for number, name in enumerate(("tiles.index", "tiles.descriptors", "tiles.rows", "tiles.meta.json")):
        (folder / name).write_bytes(bytes([number]) * (3 + number * 2_200_000))
    return SealedIndex(
        descriptor_model="net", descriptors=len(keys), tiles=len(keys), dropped=0, built_by="x",
        metadata_sha256="0" * 64,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["tiles alone", "with an index"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    source = attrs.evolve(
        source_of(TILES, datasets=DATASETS), write_index=write_index if request.param else None
    )
    BaseGenerations(root).seal(source, SealPlan(take_onboard=True), number=42)
    return root / "generations" / "000042"


DATASETS = (dataset("city"), dataset("ortho-2024"), dataset("unused"))
TILES = [
    *square(30),
    *(of_dataset(imported(11, x, 3), "ortho-2024") for x in range(5)),
    of_dataset(imported(11, 9, 3), "city"),
    imported(22, (1 << 22) - 1, 0),
    tile(TileId(3, 1, 2, TileSource.SATELLITE_PROVIDER), pixels_of(5)),
    *(tile(TileId(13, 4, n, TileSource.ONBOARD, FLIGHTS[n]), vote=VotingStatus.TRUSTED) for n in (0, 1)),
]


def test_every_tile_and_its_facts_are_found_by_what_the_page_says(folder: Path) -> None:
    reader = PlainReader(folder)
    assert reader.manifest["generation"] == 42
    assert reader.manifest["flights"] == sorted(map(str, FLIGHTS))
    assert len(reader.rows) == reader.manifest["tiles"] == len(TILES)
    for row, pixels in TILES:
        t = row.tile_id
        place = (t.zoom_level, t.x, t.y, t.source.value, None if t.flight_id is None else str(t.flight_id))
        assert reader.pixels(*place) == pixels
        _, _, captured_us, _, length, size, distance, *quality, inliers, position, flags = reader.row(*place)
        assert captured_us == microseconds_of(row.captured_at)
        assert (length, size, distance) == (len(pixels), 256, 0.5)
        assert (reader.manifest["datasets"][position - 1]["name"] if position else None) == row.dataset
        if row.quality is None:
            assert all(map(math.isnan, quality))
            assert (inliers, flags) == (0, 0)
        else:
            assert (*quality, inliers) == (2.5, 0.75, 123.5, 41)
            assert flags == 2 << 4


def test_the_manifest_names_the_datasets_of_the_tiles_and_no_others(folder: Path) -> None:
    of_city = {
        "name": "city",
        "licence": "CC-BY-4.0",
        "attribution": "© city",
        "may_be_stored_offline": True,
        "source": "city.tif",
        "source_sha256": hashlib.sha256(b"city").hexdigest(),
        "digest_of": "file",
        "captured_at": "2025-06-01T00:00:00+00:00",
        "captured_from": "by hand",
        "tiles": 1,
    }
    listed = PlainReader(folder).manifest["datasets"]
    assert listed[0] == of_city
    assert [(each["name"], each["tiles"]) for each in listed] == [("city", 1), ("ortho-2024", 5)]


def test_the_sectors_are_what_the_page_says(folder: Path) -> None:
    facts = json.loads(PlainReader(folder).content["sectors.json"])
    assert facts == {
        "sectors": [
            {
                "sector_id": "front",
                "classification": "active_conflict",
                "shape": {
                    "type": "Polygon",
                    "bbox": [10.0, 40.0, 20.0, 50.0],
                    "coordinates": [[[10.0, 40.0], [20.0, 40.0], [20.0, 50.0], [10.0, 50.0], [10.0, 40.0]]],
                },
            },
            {
                "sector_id": "rear",
                "classification": "stable_rear",
                "shape": {
                    "type": "Polygon",
                    "coordinates": [[[-10.0, -10.0], [0.0, -10.0], [-10.0, 0.1], [-10.0, -10.0]]],
                },
            },
        ],
        "max_age_us": {
            "active_conflict": 180 * 86_400 * 1_000_000,
            "stable_rear": 365 * 86_400 * 1_000_000,
        },
    }
