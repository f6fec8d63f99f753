"""`aerotile recall ...`, as operators call it: made and signed on the ground, applied in flight."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

import aerotile
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.loader import load_config
from aerotile.adapters.recorder.reader import RecordReader
from aerotile.domain.errors import TileRecalledError
from aerotile.domain.find_tiles import find_tiles
from aerotile.domain.values.areas import Area
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import parse_tile_id

TILES = [f"imported/7/60/{y}" for y in range(0, 12, 3)]  # none touches another
WORLD = Area([Bbox(-85.0, -180.0, 85.0, 180.0)])
UNSIGNED_BASE = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
LAYERED = {**UNSIGNED_BASE, "AEROTILE_BASE_LAYERED": "true"}


@pytest.fixture
def store(
    call: Call, jpeg: Callable[..., bytes], tmp_path: Path, days_ago: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Call:  # fmt: skip
    """The command, in the folder of a store with an index, which pins the key `recall.key` for recalls."""
    column = tmp_path / "tiles" / "7" / "60"
    column.mkdir(parents=True)
    for y in range(0, 12, 3):
        (column / f"{y}.jpg").write_bytes(jpeg(y))
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    np.savez("d.npz", tiles=TILES, descriptors=np.eye(4, dtype=np.float32))
    assert call("index", "build", "d.npz", "--model", "net").code == 0
    for name in ("recall", "other"):
        assert call("base", "keygen", f"{name}.key").code == 0
    monkeypatch.setenv("AEROTILE_RECALL_PUBLIC_KEYS", Path("recall.key.pub").read_text().strip())
    return call


def made(call: Call, number: int, *options: str, key: str = "recall.key") -> str:
    """The file of a signed list."""
    file = f"{number}-{len(list(Path().iterdir()))}.json"
    assert call("recall", "make", file, "--number", str(number), "--reason", "forged", *options).code == 0
    assert call("recall", "sign", file, "--key", key).code == 0
    return file


def digest_of(tile: int) -> str:
    """Of a stored tile, by its sidecar."""
    return Path(f"aerotile-data/tiles/{TILES[tile]}.jpg.sha256").read_text().split()[0]


def columns(found: Any) -> list[str]:
    return [str(hit.tile_id) for hit in found]


def events(kind: str) -> Iterator[dict[str, Any]]:
    for line in RecordReader(Path("aerotile-data/record")).lines():
        if line.envelope.kind == kind:
            yield {"reason": line.envelope.reason, **line.envelope.payload}


def test_a_list_in_mid_flight_takes_its_tiles_out_of_the_very_next_lookup(store: Call) -> None:
    query = np.array([0.9, 0.3, 0.2, 0.1], np.float32)
    file = made(store, 7, "--digest", digest_of(0))
    with Runtime(load_config()) as runtime:
        tiles, index = runtime.store_in_use, runtime.index_in_use
        for near in (None, WORLD):
            with find_tiles(query, 2, index=index, store=tiles, near=near) as found:
                assert columns(found) == TILES[:2]
        assert store("recall", "apply", file).code == 0  # another runtime, as another process
        for near in (None, WORLD):
            with find_tiles(query, 2, index=index, store=tiles, near=near) as found:
                assert columns(found) == TILES[1:3]
            assert columns(index.search(query, 4)) == TILES[1:]
        recalled = parse_tile_id(TILES[0])
        with pytest.raises(TileRecalledError, match="recalled by list 7"):
            tiles.read_tile_pixels(recalled)
        verdict = tiles.verdict(recalled)
        assert verdict is not None
        assert verdict.recalled == f"list 7: digest {digest_of(0)}"
        assert recalled not in tiles.query_by_bbox(recalled.bbox, 7).tile_ids()
    (in_force,) = events("c6.recall.in_force")
    assert (in_force["number"], in_force["why"], in_force["entries"]) == (7, "forged", 1)
    assert {event["reason"] for event in events("c6.recalled")} == {"lookup", "read"}
    assert {event["number"] for event in events("c6.recalled")} == {7}


@pytest.fixture
def with_dataset(store: Call, jpeg: Callable[..., bytes], days_ago: Callable[[int], str]) -> Call:
    """The same store, whose first two tiles are of the dataset `ortho`."""
    column = Path("ortho/7/60")
    column.mkdir(parents=True)
    for y in (0, 3):
        (column / f"{y}.jpg").write_bytes(jpeg(y))
    owed = ("--licence", "CC-BY-4.0", "--attribution", "Survey Office", "--may-be-stored-offline", "yes")
    dated = ("--source", "ortho", "--captured-at", days_ago(1))
    assert store("datasets", "define", "ortho", *owed, *dated).code == 0
    assert store("delete", *TILES[:2]).code == 0
    assert store("ingest", "ortho", "--dataset", "ortho").code == 0
    return store


def test_a_dataset_is_recalled_in_mid_flight_and_the_next_lookup_has_none_of_it(with_dataset: Call) -> None:
    query = np.array([0.9, 0.3, 0.2, 0.1], np.float32)
    file = made(with_dataset, 7, "--dataset", "ortho")
    with Runtime(load_config()) as runtime:
        tiles, index = runtime.store_in_use, runtime.index_in_use
        for near in (None, WORLD):
            with find_tiles(query, 4, index=index, store=tiles, near=near) as found:
                assert columns(found) == TILES
        assert with_dataset("recall", "apply", file).code == 0  # another runtime, as another process
        for near in (None, WORLD):
            with find_tiles(query, 4, index=index, store=tiles, near=near) as found:
                assert columns(found) == TILES[2:]
        for tile in TILES[:2]:
            with pytest.raises(TileRecalledError, match="recalled by list 7"):
                tiles.read_tile_pixels(parse_tile_id(tile))
    listed = with_dataset("recall", "list", "--json").json
    assert listed["recalled_in_store"] == 2
    assert sorted(listed["digests"]) == sorted(digest_of(tile) for tile in (0, 1))


def test_a_dataset_of_the_base_is_named_by_the_tiles_of_the_base(with_dataset: Call) -> None:
    digests = sorted(digest_of(tile) for tile in (0, 1))
    assert with_dataset("base", "seal").code == 0
    assert with_dataset("base", "switch", **UNSIGNED_BASE).code == 0
    assert with_dataset("delete", *TILES).code == 0
    shown = with_dataset(
        "recall", "make", "b.json", "--number", "1", "--reason", "x", "--dataset", "ortho", **UNSIGNED_BASE
    )
    assert shown.code == 0
    payload = json.loads(base64.b64decode(json.loads(Path("b.json").read_bytes())["payload"]))
    assert payload["recalled"] == {"digests": digests, "captured_us": [], "areas": []}


def test_a_dataset_that_nothing_is_of_makes_no_list(with_dataset: Call) -> None:
    refused = with_dataset(
        "recall", "make", "n.json", "--number", "1", "--reason", "x", "--dataset", "orthos"
    )
    assert (refused.code, "no tile of the dataset 'orthos'" in refused.error) == (BAD_CALL, True)
    assert not Path("n.json").exists()  # a list without entries would lift every recall


def test_a_recall_survives_restarts_and_is_heeded_by_every_command(store: Call) -> None:
    lat, lon = parse_tile_id(TILES[3]).centre
    file = made(store, 7, "--digest", digest_of(1), "--bbox", f"{lon},{lat},{lon + 0.1},{lat + 0.1}")
    facts = store("recall", "apply", file, "--json").json
    assert (facts["applied"], facts["number"], facts["trusted"]) == (True, 7, True)
    assert store("recall", "apply", file, "--json").json == facts | {"applied": False}
    listed = store("recall", "list", "--json").json
    assert (listed["recalled_in_store"], listed["recalled_in_base"]) == (2, None)
    assert store("status", "--json").json["recall"] == {
        "number": 7, "reason": "forged", "signed_by": 1, "recalled_in_store": 2, "recalled_in_base": None,
    }  # fmt: skip
    explained = store("recall", "explain", *TILES, "imported/7/60/1", "--json").json["tiles"]
    by = {each["tile"]: (each["held"], each["recalled_by"]) for each in explained}
    assert by[TILES[1]] == ("store", f"digest {digest_of(1)}")
    assert by[TILES[3]] == ("store", "area 1")
    assert by[TILES[0]] == ("store", None)
    assert by["imported/7/60/1"] == ("nowhere", None)
    of_the_place = store("explain", lat, lon, "2026-05-01", "--zoom", 7, "--json").json
    assert (of_the_place["decision"], of_the_place["recalled"]) == ("reject", "list 7: area 1")
    assert "recalled by  list 7: area 1" in store("explain", lat, lon, "2026-05-01", "--zoom", 7).out
    verified = store("verify")
    assert (verified.code, "2 tiles are recalled by list 7" in verified.out) == (0, True)
    assert store("verify", "--json").json["recalled"] == 2
    np.save("q.npy", np.eye(4, dtype=np.float32)[1])
    hits = store("search", "q.npy", "--json").json
    assert TILES[1] not in json.dumps(hits)
    again = store("ingest", "tiles", "--captured-at", "2020-01-01")
    assert again.code == JOB_FAILED
    assert "recalled by list 7" in again.out + again.err


def test_an_ingest_of_recalled_tiles_refuses_them_by_name_and_the_others_go_in(
    store: Call, days_ago: Callable[[int], str]
) -> None:
    digest = digest_of(2)
    assert store("delete", *TILES).code == 0
    assert store("recall", "apply", made(store, 1, "--digest", digest)).code == 0
    result = store("ingest", "tiles", "--captured-at", days_ago(1), "--json")
    assert result.code == JOB_FAILED
    assert (result.json["stored"], result.json["refused"]) == (3, 1)
    (refusal,) = result.json["refusals"]
    assert (refusal["tile"], refusal["error"]) == (TILES[2], "TileRecalledError")
    assert "list 1" in refusal["message"]


def test_a_base_is_sealed_without_recalled_tiles_and_names_the_list(store: Call) -> None:
    assert store("recall", "apply", made(store, 7, "--digest", digest_of(0))).code == 0
    facts = store("base", "seal", "--json").json
    assert (facts["tiles"], facts["left_out"], facts["recall_number"]) == (3, {"recalled": 1}, 7)
    assert store("base", "switch", **UNSIGNED_BASE).code == 0
    aircraft = Path("aircraft/base")
    assert store("base", "export", "000001", str(aircraft)).code == 0
    refused = store("--root", "aircraft", "base", "switch", **UNSIGNED_BASE)
    assert refused.code == JOB_FAILED
    assert "was sealed under recall list 7, and no list is in force" in refused.error
    assert "aerotile recall apply" in refused.error
    for number in (6, 7):
        applied = store("--root", "aircraft", "recall", "apply", made(store, number, "--digest", "ab" * 32))
        assert applied.code == 0
        switched = store("--root", "aircraft", "base", "switch", **UNSIGNED_BASE)
        assert switched.code == (JOB_FAILED if number == 6 else 0)


def test_a_base_is_recalled_in_flight_and_through_a_rollback(
    store: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert store("base", "seal").code == 0
    assert store("base", "switch", **UNSIGNED_BASE).code == 0
    for name, text in LAYERED.items():
        monkeypatch.setenv(name, text)
    victim, other = parse_tile_id(TILES[0]), parse_tile_id(TILES[1])
    config = load_config()
    with Runtime(config) as runtime:
        for layers in (runtime.store_in_use, runtime.part("sealed_store")):
            layers.read_tile_pixels(victim).close()
        assert store("recall", "apply", made(store, 3, "--digest", digest_of(0))).code == 0
        assert columns(runtime.index_in_use.search(np.eye(4, dtype=np.float32)[0], 4)) == TILES[1:]
        for layers in (runtime.store_in_use, runtime.part("sealed_store")):
            for read in (layers.read_tile_pixels, layers.read_tile_bytes):
                with pytest.raises(TileRecalledError):
                    read(victim)
            layers.read_tile_pixels(other).close()
    assert store("base", "rollback").code == 0
    with Runtime(config) as runtime, pytest.raises(TileRecalledError):
        runtime.part("sealed_store").read_tile_pixels(victim)
    listed = store("recall", "list", "--json").json
    assert (listed["recalled_in_base"], listed["recalled_in_store"]) == (1, 1)
    explained = store("recall", "explain", TILES[0])
    assert f"{TILES[0]} (in the base): recalled by list 3: digest" in explained.out
    assert f"{TILES[0]} (in the store): recalled by list 3: digest" in explained.out
    assert "reason: forged" in explained.out


def test_a_list_without_entries_lifts_every_recall(store: Call) -> None:
    victim = parse_tile_id(TILES[0])
    assert store("recall", "apply", made(store, 1, "--digest", digest_of(0))).code == 0
    with Runtime(load_config()) as runtime:
        with pytest.raises(TileRecalledError):
            runtime.tile_store.read_tile_pixels(victim)
        assert store("recall", "apply", made(store, 2)).code == 0
        runtime.recalls.look()
        runtime.tile_store.read_tile_pixels(victim).close()


def test_a_damaged_list_in_force_keeps_the_store_closed_and_status_says_so(store: Call) -> None:
    file = made(store, 7, "--digest", digest_of(0))
    assert store("recall", "apply", file).code == 0
    path = Path("aerotile-data/recall/generations/000007/list.json")
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-20])
    status = store("status", "--json")
    assert status.code == JOB_FAILED
    assert "is no recall list that can be used" in status.json["recall"]["error"]
    for command in (["ingest", "tiles", "--captured-at", "2026-01-01"], ["recall", "list"], ["base", "seal"]):
        result = store(*command)
        assert result.code == JOB_FAILED
        assert "apply the list again: aerotile recall apply" in result.error
    assert store("recall", "apply", file).code == 0
    assert store("recall", "list").code == 0


def test_replay_heeds_the_list_in_force(store: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROTILE_RECORD_LOOKUPS", "full")
    with Runtime(load_config()) as runtime:
        runtime.part("store_in_use")
        runtime.index_in_use.search(np.eye(4, dtype=np.float32)[0], 2)
    assert store("replay", "aerotile-data/record").code == 0
    assert store("recall", "apply", made(store, 1, "--digest", digest_of(0))).code == 0
    with Runtime(load_config()) as runtime:
        runtime.part("store_in_use")
        runtime.index_in_use.search(np.eye(4, dtype=np.float32)[0], 2)
    replayed = store("replay", "aerotile-data/record", "--json")
    assert (replayed.code, replayed.json["same"], replayed.json["different"]) == (JOB_FAILED, 1, 1)


BAD_CALLS = [
    (["apply", "signed-by-other.json"], 1, "is signed by 0 of the 1 pinned keys, 1 are needed"),
    (["apply", "unsigned.json"], 1, "is signed by 0 of the 1 pinned keys, 1 are needed"),
    (["apply", "older.json"], 1, "is recall list 4, which is older than list 5 in force"),
    (["apply", "other.json"], 1, "is not the recall list 5 that is in force"),
    (["apply", "d.npz"], 1, "is no recall list that can be used"),
    (["apply", "nothing.json"], 2, "nothing.json"),
    (["sign", "unsigned.json", "--key", "d.npz"], 1, "it is no private key"),
    (["sign", "d.npz", "--key", "recall.key"], 1, "is no recall list that can be used"),
    (["make", "unsigned.json", "--number", "9", "--reason", "x"], 2, "is there, and nothing is replaced"),
    (["make", "n.json", "--number", "0", "--reason", "x"], 2, "--number"),
    (["make", "n.json", "--number", "9", "--reason", " "], 2, "one printable line"),
    (["make", "n.json", "--number", "9", "--reason", "x", "--digest", "ABC"], 2, "64 lower hexadecimal"),
    (["make", "n.json", "--number", "9", "--reason", "x", "--digests-from", "d.npz"], 2, "d.npz"),
    (["make", "n.json", "--number", "9", "--reason", "x", "--digests-from", "empty.txt"], 2, "no digest"),
    (
        ["make", "n.json", "--number", "9", "--reason", "x", "--digests-from", "big/one"],
        2,
        "it is larger than",
    ),
    (["make", "n.json", "--number", "9", "--reason", "x", "--zoom", "3"], 2, "names no tile by itself"),
    (
        ["make", "n.json", "--number", "9", "--reason", "x", "--bbox", "1,86,3,87"],
        2,
        "no tile lies between the latitudes 86.0 and 87.0",
    ),
    (["make", "n.json", "--number", "9", "--reason", "x", "--near", "89,0,1km"], 2, "no tile lies between"),
    (["make", "n.json", "--number", "9", "--reason", "x", "--captured", "2024"], 2, "FIRST,LAST"),
    (
        ["make", "n.json", "--number", "9", "--reason", "x", "--captured", "2024-02-01,2024-01-01"],
        2,
        "before",
    ),
    (
        ["make", "n.json", "--number", "9", "--reason", "x", "--shapes", "unsigned.json"],
        2,
        "FeatureCollection",
    ),
    (["explain", "nonsense"], 2, "no tile id"),
]


def test_a_bad_call_ends_in_one_line_and_changes_nothing(store: Call) -> None:
    assert store("recall", "apply", made(store, 5)).code == 0
    several: list[tuple[str, int, list[str]]] = [
        ("unsigned", 6, []), ("older", 4, []), ("other", 5, ["--digest", "ab" * 32]),
    ]  # fmt: skip
    for name, number, options in several:
        call = ["recall", "make", f"{name}.json", "--number", str(number), "--reason", "x", *options]
        assert store(*call).code == 0
    for name in ("older", "other"):
        assert store("recall", "sign", f"{name}.json", "--key", "recall.key").code == 0
    Path("signed-by-other.json").write_bytes(Path(made(store, 8, key="other.key")).read_bytes())
    Path("empty.txt").write_text("\n")
    Path("big").mkdir()
    Path("big/one").touch()
    os.truncate("big/one", (128 << 20) + 1)
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for arguments, code, reason in BAD_CALLS:
        result = store("recall", *arguments)
        assert (result.code, reason in result.error) == (code, True), result.error
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    assert store("recall", "list", "--json").json["number"] == 5
    shown = store("recall", "list", "unsigned.json", "--json")
    assert (shown.code, shown.json["trusted"], shown.json["number"]) == (JOB_FAILED, False, 6)
    assert "unsigned.json is signed by 0 of the 1 pinned keys, 1 are needed" in shown.err


def test_each_selector_of_make_is_an_entry_of_the_list(store: Call) -> None:
    shapes = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {}, "geometry": {
                "type": "Polygon", "coordinates": [[[1, 1], [2, 1], [1, 2], [1, 1]]]}}
        ],
    }  # fmt: skip
    Path("shapes.geojson").write_text(json.dumps(shapes))
    Path("digests.txt").write_text(f"{'cd' * 32}  a.jpg\n\n{'ab' * 32}\n")
    file = made(
        store, 3, "--digests-from", "digests.txt", "--captured", "2024-05-01,2024-06-30",
        "--near", "48,11,5km", "--bbox", "1,2,3,4", "--shapes", "shapes.geojson",
        "--zoom", "16", "--zoom", "15",
    )  # fmt: skip
    facts = store("recall", "list", file, "--json").json
    assert facts["digests"] == ["ab" * 32, "cd" * 32]
    assert facts["captured"] == [["2024-05-01T00:00:00+00:00", "2024-06-30T23:59:59.999999+00:00"]]
    assert [list(area["shapes"][0]) for area in facts["areas"]] == [["box"], ["circle"], ["polygons"]]
    assert all(area["zooms"] == [15, 16] for area in facts["areas"])
    text = store("recall", "list", file).out
    assert "box 1,2,3,4 at zoom 15, 16, circle 48,11,5000 at zoom 15, 16, 1 polygon at zoom 15, 16" in text


def test_without_a_list_nothing_is_recalled(store: Call) -> None:
    assert store("recall", "list").out == "no recall list is in force\n"
    assert store("recall", "list", "--json").json == {"number": None}
    assert store("recall", "explain", TILES[0]).out == "no recall list is in force\n"
    assert store("recall", "explain", TILES[0], "--json").json["in_force"] is None
    assert store("status", "--json").json["recall"] == {"number": None}
    assert not Path("aerotile-data/recall").exists()


def test_one_key_is_never_pinned_for_bases_and_recalls(store: Call) -> None:
    key = Path("recall.key.pub").read_text().strip()
    result = store("status", AEROTILE_BASE_PUBLIC_KEYS=key)
    assert result.code == BAD_CALL
    assert "recall.public_keys must not list a key of base.public_keys" in result.error
    assert "in variable AEROTILE_RECALL_PUBLIC_KEYS" in result.error
    with pytest.raises(ValueError, match=r"recall\.public_keys must not list a key of base"):
        aerotile.AerotileConfig(
            base=aerotile.BaseConfig(public_keys=(key,)), recall=aerotile.RecallConfig(public_keys=(key,))
        )
