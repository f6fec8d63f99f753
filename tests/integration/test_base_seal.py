"""Sealing: the same tiles give the same bytes, one tile a place, and no tile that differs from its row."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmtiles.reader import MmapSource, all_tiles
from sealed_bases import (
    CAPTURED_AT,
    FLIGHTS,
    NOBODY,
    Tile,
    imported,
    pixels_of,
    seal,
    source_of,
    square,
    tile,
)

from aerotile.adapters.sealed_base.facts import FACTS_ROW
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import decode_manifest
from aerotile.adapters.sealed_base.repeated_digests import RepeatedDigests, are_among
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.sealed_base.sorted_runs import SortedRuns
from aerotile.domain.errors import BaseSealError, ContentHashMismatchError
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import decode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource, VotingStatus
from aerotile.domain.values.timestamps import microseconds_of


def contents(root: Path, name: str = "000001") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "generations" / name).iterdir()}


def tiles_in(root: Path, name: str = "000001") -> dict[tuple[int, int, int], bytes]:
    with (root / "generations" / name / "tiles.pmtiles").open("rb") as file:
        return dict(all_tiles(MmapSource(file)))


def taken(root: Path, tiles: list[Tile], plan: SealPlan) -> set[TileId]:
    manifest = seal(root, tiles, plan)
    rows = np.frombuffer(contents(root)["facts"], FACTS_ROW)
    return {decode_tile_key(key, manifest.variants) for key in rows["key"].tolist()}


def test_every_interpreter_gives_the_same_bytes(tmp_path: Path) -> None:
    """The manifest has the digest of every file; another format of base has another digest here."""
    seal(tmp_path, square(6))
    identity = BaseGenerations(tmp_path).manifest("000001", NOBODY).identity
    assert identity == "e1bce8026ab19cd15e1869496e03e6a6796ead0e929561e7c1356edcf0ea0218"


KILLED = """
import os, signal, sys
from pathlib import Path
import attrs
from sealed_bases import source_of, square
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal_plan import SealPlan
source = source_of(square(6))
left = iter(range(20))
def read(tile_ids):
    if any(next(left, None) is None for _ in tile_ids):
        os.kill(os.getpid(), signal.SIGKILL)
    return source.read(tile_ids)
BaseGenerations(Path(sys.argv[1])).seal(attrs.evolve(source, read=read), SealPlan())
"""


def test_a_seal_behind_a_killed_one_gives_the_same_bytes(tmp_path: Path) -> None:
    seal(tmp_path / "whole", square(6))
    root = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(root)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = (root / "generations").iterdir()
    assert left.name == "000001.partial"
    assert (left / "tiles.pmtiles").exists()
    seal(root, square(6))
    assert contents(root) == contents(tmp_path / "whole")
    assert [path.name for path in left.parent.iterdir()] == ["000001"]


def test_the_same_tiles_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    tiles = square(12) + [
        tile(TileId(13, x, 9, TileSource.ONBOARD, FLIGHTS[x % 2]), vote=VotingStatus.TRUSTED)
        for x in range(8)
    ]
    orders = [list(range(len(tiles))) for _ in range(3)]
    for seed, order in enumerate(orders):
        random.Random(seed).shuffle(order)
        BaseGenerations(tmp_path / str(seed)).seal(source_of(tiles, order), SealPlan(take_onboard=True))
    first = contents(tmp_path / "0")
    assert set(first) == {"tiles.pmtiles", "facts", "sectors.json", "digests", "manifest.json"}
    assert first == contents(tmp_path / "1") == contents(tmp_path / "2")


def test_the_facts_say_where_each_tile_lies_and_all_that_the_store_knows(tmp_path: Path) -> None:
    onboard = tile(TileId(13, 7, 9, TileSource.ONBOARD, FLIGHTS[0]), vote=VotingStatus.TRUSTED, days=3)
    tiles = [*square(5), imported(9, 3, 4, pixels_of(0, 200)), onboard]
    manifest = seal(tmp_path, tiles, SealPlan(take_onboard=True))
    rows = np.frombuffer(contents(tmp_path)["facts"], FACTS_ROW)
    archive = contents(tmp_path)["tiles.pmtiles"]
    assert (np.diff(rows["key"]) > 0).all()
    by_id = {decode_tile_key(int(row["key"]), manifest.variants): row for row in rows}
    assert set(by_id) == {row.tile_id for row, _ in tiles}
    for expected, pixels in tiles:
        row = by_id[expected.tile_id]
        offset = int(row["offset"])
        assert archive[offset : offset + int(row["length"])] == pixels
        assert row["sha256"].tobytes() == hashlib.sha256(pixels).digest()
        assert row["captured_us"] == microseconds_of(expected.captured_at)
        assert (row["tile_size_pixels"], row["ground_sample_distance"]) == (256, 0.5)
        assert np.isnan(row["sharpness"]) == (expected.quality is None)
    quality = by_id[onboard[0].tile_id]
    numbers = [quality[name].item() for name in FACTS_ROW.names[7:11]]
    assert numbers == [2.5, 0.75, 123.5, 41]
    assert manifest.latest_capture_us == microseconds_of(CAPTURED_AT)
    assert manifest.contents == len(tiles) - 1  # two have the same bytes


def test_the_manifest_binds_every_file_and_holds_no_time(tmp_path: Path) -> None:
    manifest = seal(tmp_path, square(4), number=17)
    files = contents(tmp_path, "000017")
    position = 0
    for name in ("tiles.pmtiles", "facts", "sectors.json"):
        sealed = manifest.files[name]
        starts = range(0, len(files[name]), sealed.part_bytes)
        parts = [hashlib.sha256(files[name][at : at + sealed.part_bytes]).digest() for at in starts]
        assert (sealed.size, sealed.parts) == (len(files[name]), len(parts))
        assert sealed.digest == hashlib.sha256(b"".join(parts)).hexdigest()
        assert files["digests"][position:][: 32 * len(parts)] == b"".join(parts)
        position += 32 * len(parts)
    keys = np.frombuffer(files["facts"], FACTS_ROW)["key"][::512].tobytes()
    assert files["digests"][position:] == keys
    assert manifest.first_keys_sha256 == hashlib.sha256(keys).hexdigest()
    assert decode_manifest(manifest.encode()) == manifest
    assert sorted(json.loads(manifest.encode())) == [
        "aerotile", "area", "contents", "datasets", "default_classification", "files", "first_keys_sha256",
        "flights", "format", "generation", "latest_capture_us", "left_out", "prefer", "recall_number",
        "tiles", "zooms",
    ]  # fmt: skip
    assert BaseGenerations(tmp_path).manifest("000017", NOBODY).manifest == manifest


def test_only_tiles_of_the_area_and_the_zooms_are_taken_and_the_others_counted(tmp_path: Path) -> None:
    tiles = [imported(10, x, y) for x in range(500, 510) for y in range(500, 510)] + [
        imported(11, 1000, 1000)
    ]
    inside = tiles[37][0].tile_id
    middle = inside.bbox
    box = Bbox(middle.min_lat + 0.01, middle.min_lon + 0.01, middle.max_lat - 0.01, middle.max_lon - 0.01)
    assert taken(tmp_path, tiles, SealPlan(boxes=(box,), zooms=(10,))) == {inside}
    manifest = BaseGenerations(tmp_path).manifest("000001", NOBODY).manifest
    assert manifest.left_out == {"another zoom": 1, "outside the area": 99}
    assert (manifest.boxes, manifest.zooms, manifest.tiles) == ((box,), (10,), 1)


def test_of_two_variants_of_a_place_the_preferred_one_is_taken(tmp_path: Path) -> None:
    place = (10, 500, 500)
    provider = tile(TileId(*place, TileSource.SATELLITE_PROVIDER), pixels_of(1))
    ours = imported(*place, pixels_of(2))
    flights = [
        tile(TileId(*place, TileSource.ONBOARD, flight), pixels_of(3 + n), vote=VotingStatus.TRUSTED)
        for n, flight in enumerate(FLIGHTS)
    ]
    tiles = [provider, ours, *flights]

    def pixels(number: int, *prefer: str, onboard: bool = False) -> bytes:
        plan = SealPlan(prefer=prefer, take_onboard=onboard)
        seal(tmp_path, tiles, plan, number)
        return tiles_in(tmp_path, f"{number:06d}")[place]

    assert pixels(1, "imported") == ours[1]
    assert pixels(2, "satellite_provider", "imported") == provider[1]
    assert pixels(3, f"onboard/{FLIGHTS[1]}", "imported", onboard=True) == flights[1][1]
    assert pixels(4, "imported", onboard=True) == ours[1]
    counted = BaseGenerations(tmp_path).manifest("000004", NOBODY).manifest.left_out
    assert counted == {"another variant preferred": 3}


@pytest.mark.parametrize(
    ("prefer", "onboard", "named"),
    [
        ((), False, ("imported/10/5/5", "satellite_provider/10/5/5")),
        (("onboard",), True, (f"onboard/{FLIGHTS[0]}/10/5/5", f"onboard/{FLIGHTS[1]}/10/5/5")),
    ],
)
def test_two_variants_without_an_order_are_refused_by_name(
    tmp_path: Path, prefer: tuple[str, ...], onboard: bool, named: tuple[str, str]
) -> None:
    tiles = [imported(10, 5, 5), tile(TileId(10, 5, 5, TileSource.SATELLITE_PROVIDER))]
    tiles += [
        tile(TileId(10, 5, 5, TileSource.ONBOARD, flight), vote=VotingStatus.TRUSTED) for flight in FLIGHTS
    ]
    with pytest.raises(BaseSealError) as refused:
        seal(tmp_path, tiles, SealPlan(prefer=prefer, take_onboard=onboard))
    assert all(name in str(refused.value) for name in named)
    assert "--prefer" in (refused.value.remedy or "")
    assert BaseGenerations(tmp_path).names() == []
    assert list((tmp_path / "generations").iterdir()) == []


@pytest.mark.parametrize(
    "vote", [VotingStatus.PENDING, VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP, None]
)
def test_tiles_made_on_board_are_taken_only_when_trusted_and_asked_for(
    tmp_path: Path, vote: VotingStatus | None
) -> None:
    trusted = tile(TileId(10, 5, 5, TileSource.ONBOARD, FLIGHTS[0]), vote=VotingStatus.TRUSTED)
    other = tile(TileId(10, 6, 5, TileSource.ONBOARD, FLIGHTS[0]), vote=vote)
    tiles = [imported(10, 7, 5), trusted, other]
    assert taken(tmp_path / "a", tiles, SealPlan()) == {tiles[0][0].tile_id}
    asked = taken(tmp_path / "b", tiles, SealPlan(take_onboard=True))
    assert asked == {tiles[0][0].tile_id, trusted[0].tile_id}
    counted = BaseGenerations(tmp_path / "b").manifest("000001", NOBODY).manifest.left_out
    assert counted == {"made on board, not trusted": 1}


def test_a_tile_whose_bytes_are_not_those_of_its_row_is_never_sealed(tmp_path: Path) -> None:
    tiles = square(3)
    tiles[4] = (tiles[4][0], tiles[5][1])
    with pytest.raises(ContentHashMismatchError) as refused:
        seal(tmp_path, tiles)
    assert refused.value.tile_id == tiles[4][0].tile_id
    assert list((tmp_path / "generations").iterdir()) == []


def test_an_area_without_tiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseSealError, match="no tile"):
        seal(tmp_path, square(3), SealPlan(zooms=(3,)))


def test_a_number_that_is_taken_is_refused_and_remains_as_it_was(tmp_path: Path) -> None:
    seal(tmp_path, square(3), number=7)
    before = contents(tmp_path, "000007")
    with pytest.raises(BaseSealError, match="000007"):
        seal(tmp_path, square(4), number=7)
    assert contents(tmp_path, "000007") == before
    assert seal(tmp_path, square(4)).generation == 8


def test_impossible_numbers_of_a_manifest_are_refused(tmp_path: Path) -> None:
    manifest = seal(tmp_path, square(3))
    for change in ({"tiles": -1}, {"contents": 10**9}, {"generation": 0}, {"zooms": (99,)}, {"files": {}}):
        with pytest.raises(ValueError, match=r"must be|names the files"):
            attrs.evolve(manifest, **change)  # type: ignore[arg-type] # on purpose
    for content in (
        b"",
        b"[]",
        b"{}",
        manifest.encode().replace(b'"format": 2', b'"format": 1'),
        manifest.encode().replace(b'"left_out": {}', b'"left_out": {"x": 1e999}'),
        manifest.encode().replace(b'"generation"', b'"generation": 9, "generation"'),
        b"[" * 9000,
    ):
        with pytest.raises(ValueError, match=r"manifest|format|Expecting|too large|comes twice"):
            decode_manifest(content)


@given(
    st.lists(st.integers(0, 1000), max_size=3000),
    st.integers(1, 500),
    st.integers(1, 400),
)
def test_rows_beyond_memory_come_back_sorted_and_equal_ones_together(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], run_rows: int, block: int
) -> None:
    runs = SortedRuns(
        np.dtype([("key", "<i8"), ("position", "<i8")]),
        "key",
        tmp_path_factory.getbasetemp(),
        run_rows=run_rows,
    )
    rows = np.zeros(len(numbers), [("key", "<i8"), ("position", "<i8")])
    rows["key"], rows["position"] = numbers, np.arange(len(numbers))
    for start in range(0, len(rows), block):
        runs.append(rows[start : start + block])
    assert len(runs) == len(numbers)
    pieces = list(runs.ascending())
    runs.close()
    assert [key for piece in pieces for key in piece["key"].tolist()] == sorted(numbers)
    positions = [position for piece in pieces for position in piece["position"].tolist()]
    assert sorted(positions) == list(range(len(numbers)))
    assert all(one["key"][-1] < other["key"][0] for one, other in pairwise(pieces))


@given(st.lists(st.integers(0, 200), max_size=600), st.integers(1, 100))
def test_contents_that_several_tiles_share_are_found_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, contents: list[int], block: int
) -> None:
    digests = np.array([sha256(b"%d" % content).digest() for content in contents], "V32")
    with closing(RepeatedDigests(tmp_path_factory.getbasetemp())) as shared:
        for start in range(0, len(digests), block):
            shared.append(digests[start : start + block])
        repeated = shared.repeated()
    assert len(repeated) == sum(count > 1 for count in Counter(contents).values())
    assert are_among(repeated, digests).tolist() == [contents.count(content) > 1 for content in contents]
