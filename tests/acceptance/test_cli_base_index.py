"""The descriptor index of a sealed base: bound by its manifest, and flown without a database."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import Call

import aerotile
from aerotile.adapters.composition import Runtime, close_runtimes

HERE = Path(__file__).parent
UNSIGNED = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
LAYERED = UNSIGNED | {"AEROTILE_BASE_LAYERED": "true"}
GENERATION = Path("aerotile-data/base/generations/000001")
INDEX_FILES = ["tiles.index", "tiles.descriptors", "tiles.rows", "tiles.meta.json"]
TILES = [f"imported/7/60/{y}" for y in range(4)]

EVERYWHERE = aerotile.Area((aerotile.Bbox(-85, -180, 85, 180),))


def tile(y: int) -> aerotile.TileId:
    return aerotile.TileId(7, 60, y, aerotile.TileSource.IMPORTED)


def describe(path: str, tiles: list[str], seed: int = 1) -> str:
    descriptors = np.random.default_rng(seed).normal(size=(len(tiles), 16)).astype(np.float32)
    np.savez(path, tiles=tiles, descriptors=descriptors)
    return path


@pytest.fixture
def store(call: Call, xyz_folder: Callable[..., Path]) -> Call:
    """The command, in the folder of a store with six tiles on two zooms and an index of them."""
    for folder in (xyz_folder(), xyz_folder("finer", zoom=8, x=9, count=2)):
        assert call("ingest", folder, "--captured-at", "2026-05-01").code == 0
    described = describe("d.npz", [*TILES, "imported/8/9/0", TILES[0], "imported/8/9/1"])
    assert call("index", "build", described, "--model", "net").code == 0
    return call


@pytest.fixture
def sealed(store: Call) -> Iterator[Call]:
    """The same, with a base of one zoom, signed by nobody and in use."""
    assert store("base", "seal", "--zoom", "7").code == 0
    assert store("base", "switch", **UNSIGNED).code == 0
    yield store
    close_runtimes()


def flight(**changes: Any) -> aerotile.AerotileConfig:
    """A configuration whose database can't be started and whose root holds a base alone."""
    return aerotile.AerotileConfig(
        root=Path.cwd() / "aircraft",
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(require_signature=False),
        **changes,
    )


@pytest.fixture
def aircraft(sealed: Call) -> Path:
    """The folder of the generation on an aircraft without a store."""
    assert sealed("base", "export", "000001", "aircraft/base").code == 0
    assert sealed("--root", "aircraft", "base", "switch", **UNSIGNED).code == 0
    return Path("aircraft/base/generations/000001")


def query() -> np.ndarray[Any, np.dtype[np.float32]]:
    with np.load("d.npz") as described:
        first: np.ndarray[Any, np.dtype[np.float32]] = described["descriptors"][1]
    return first


def test_a_seal_takes_the_index_of_its_tiles_and_counts_the_descriptors_that_it_drops(sealed: Call) -> None:
    facts = sealed("base", "info", "--json").json["index"]
    built_by, digest = facts.pop("built_by"), facts.pop("metadata_sha256")
    assert facts == {"descriptor_model": "net", "descriptors": 5, "tiles": 4, "dropped": 2}
    assert built_by.startswith("faiss ")
    assert len(digest) == 64
    assert "5 descriptors of 4 tiles by net, 2 of tiles not taken were dropped" in sealed("base", "info").out
    assert sealed("base", "verify", **UNSIGNED).code == 0
    assert {path.name for path in GENERATION.iterdir()} == {
        "tiles.pmtiles", "facts", "sectors.json", "digests", "manifest.json", *INDEX_FILES,
    }  # fmt: skip


def test_the_same_tiles_and_index_sealed_twice_give_the_same_bytes(sealed: Call) -> None:
    assert sealed("base", "seal", "--zoom", "7", "--number", "2").code == 0
    other = GENERATION.with_name("000002")
    for name in INDEX_FILES:
        assert (GENERATION / name).read_bytes() == (other / name).read_bytes(), name


def test_a_base_is_sealed_without_an_index_where_there_is_none_or_none_is_wanted(store: Call) -> None:
    assert store("base", "seal", "--no-index", "--json").json["index"] is None
    assert store("base", "seal", "--json", BUILD_FAISS_INDEX="0").json["index"] is None
    shutil.rmtree("aerotile-data/index")
    refused = store("base", "seal", "--index")
    assert (refused.code, "there is no descriptor index in" in refused.error) == (1, True)
    assert len(list(GENERATION.parent.iterdir())) == 2
    assert store("base", "seal", "--json").json["index"] is None


def test_an_index_without_a_tile_of_the_base_is_refused(store: Call) -> None:
    assert store("index", "build", describe("other.npz", ["imported/8/9/0"]), "--model", "net").code == 0
    refused = store("base", "seal", "--zoom", "7")
    assert (refused.code, "holds no descriptor of a tile that the base takes" in refused.error) == (1, True)
    assert not list(Path("aerotile-data/base/generations").iterdir())


@pytest.mark.usefixtures("aircraft")
def test_a_flight_finds_searches_reads_and_judges_by_the_base_alone(
    sealed: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that has no PostgreSQL on its path, no database configured, and none to start."""
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    np.save("query.npy", query())
    done = subprocess.run(
        [sys.executable, str(HERE / "flight_by_base.py"), "aircraft", "query.npy"],
        env={**os.environ, "PATH": "", "AEROTILE_DATABASE_EMBEDDED_BINARIES": "nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    flown = json.loads(done.stdout)
    assert flown["found"][0] == TILES[1]
    assert flown["within"] == [TILES[1]]
    assert flown["model"] == "net"
    assert flown["classification"] == "stable_rear"
    assert bytes.fromhex(flown["pixels"]) == Path("tiles/7/60/1.jpg").read_bytes()
    assert {path.name for path in Path("aircraft").iterdir()} == {"base", "record"}
    for more in ([], ["--base", "aerotile-data/base"]):
        again = sealed("--root", "aircraft", "replay", "aircraft/record", *more, "--json", **UNSIGNED)
        assert (again.code, again.json["same"], again.json["different"]) == (0, 2, 0), again.err


def test_search_asks_the_index_of_a_base_without_a_store(
    sealed: Call, aircraft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    np.save("query.npy", query())
    alone = UNSIGNED | {"AEROTILE_DATABASE_EMBEDDED_BINARIES": "nowhere"}
    for near in ([], ["--near", "84.6,-9.8,1km"]):
        found = sealed("--root", "aircraft", "search", "query.npy", *near, "--json", **alone)
        assert found.code == 0, found.err
        assert found.json["hits"][0]["tile"] == TILES[1]
    shutil.rmtree(aircraft.parents[2] / "base")
    gone = sealed("--root", "aircraft", "search", "query.npy", **alone)
    assert (gone.code, "no store in" in gone.error) == (2, True)


@pytest.mark.usefixtures("aircraft")
def test_status_and_explain_answer_on_an_aircraft_that_has_a_base_alone(
    sealed: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    alone = UNSIGNED | {"AEROTILE_DATABASE_EMBEDDED_BINARIES": "nowhere"}
    for layered in ("false", "true"):
        shown = sealed("--root", "aircraft", "status", "--json", **alone, AEROTILE_BASE_LAYERED=layered)
        assert shown.code == 0, shown.err
        facts = shown.json
        assert (facts["tiles"], facts["sectors"]) == (None, None)
        assert (facts["base"]["tiles"], facts["base"]["twins_in_store"]) == (4, None)
        assert (facts["index"]["in_base"], facts["index"]["unknown_tiles"]) == (True, 0)
        assert facts["clock"]["trusted"]
    text = sealed("--root", "aircraft", "status", **alone)
    assert (text.code, text.out.count("no store here")) == (0, 2)
    told = sealed(
        "--root", "aircraft", "explain", "84.6", "-9.8", "2026-05-01", "--zoom", "7", "--json", **alone
    )
    assert (told.code, told.json["classification"]) == (0, "stable_rear"), told.err
    for needs_store in (["dump"], ["status", "--map", "ground.png"]):
        refused = sealed("--root", "aircraft", *needs_store, **alone)
        assert (refused.code, "no store in" in refused.error) == (2, True)
    assert not Path("aircraft/postgres").exists()


def test_a_base_alone_proves_that_a_clock_is_behind(aircraft: Path) -> None:
    envelope = json.loads((aircraft / "manifest.json").read_text())
    latest_us = json.loads(base64.b64decode(envelope["payload"]))["latest_capture_us"]
    latest = datetime.fromtimestamp(latest_us / 1e6, timezone.utc)
    with Runtime(flight()) as runtime:
        assert runtime.clock_fault(latest) is None
        fault = runtime.clock_fault(latest - timedelta(days=1))
    assert fault is not None
    assert fault.reason is aerotile.ClockFaultReason.BEHIND


def test_the_network_of_the_flight_must_be_that_of_the_base(aircraft: Path) -> None:
    config = flight(index=aerotile.IndexConfig(descriptor_model="another-net"))
    with pytest.raises(
        aerotile.IndexUnavailableError, match=r"'net', the configured network is 'another-net'"
    ):
        aerotile.build_descriptor_index(config)
    assert aerotile.build_sealed_base(config).tile_exists(tile(0))


def test_damage_of_an_index_file_is_found_and_costs_the_search_alone(sealed: Call, aircraft: Path) -> None:
    for name in INDEX_FILES:
        path, moved = aircraft / name, Path("moved").absolute()
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.rename(moved)
        for change in ("bit", "cut", "gone", "link"):
            if change == "link":
                path.symlink_to(moved)
            elif change != "gone":
                path.write_bytes(content if change == "bit" else content[:-1])
            check_damage(sealed, name)
            path.unlink(missing_ok=True)
        moved.rename(path)
    assert sealed("--root", "aircraft", "base", "verify", **UNSIGNED).code == 0


def check_damage(call: Call, name: str) -> None:
    """A command and a flight meet the damage of an index file of the base on the aircraft."""
    checked = call("--root", "aircraft", "base", "verify", **UNSIGNED)
    assert (checked.code, name in checked.out) == (1, True)
    refused = call("--root", "aircraft", "base", "export", "000001", "stick", **UNSIGNED)
    assert (refused.code, Path("stick/generations/000001").exists()) == (1, False)
    config = flight(index=aerotile.IndexConfig(warm_up=False))
    base = aerotile.build_sealed_base(config)
    with base.read_tile_pixels(tile(1)) as handle:
        assert bytes(memoryview(handle)) == Path("tiles/7/60/1.jpg").read_bytes()
    with pytest.raises(aerotile.IndexUnavailableError) as caught:
        search(config, graph=name == "tiles.index")
    assert "base rollback" in str(caught.value.remedy)
    close_runtimes()


def search(config: aerotile.AerotileConfig, *, graph: bool) -> None:
    """Search within an area, and where the `graph` is damaged, which costs its own searches, by the graph."""
    index: Any = aerotile.build_descriptor_index(config)
    assert index.search_within(query(), 1, EVERYWHERE)[0].tile_id == tile(1)
    if graph:
        index.search(query(), 1)


def test_with_a_base_in_front_of_the_store_its_index_is_searched(sealed: Call) -> None:
    later = describe("later.npz", ["imported/8/9/0"], seed=2)
    assert sealed("index", "build", later, "--model", "later-net").code == 0
    assert sealed("status", "--json").json["index"]["descriptor_model"] == "later-net"
    facts = sealed("status", "--json", **LAYERED).json["index"]
    assert (facts["descriptor_model"], facts["in_base"], facts["generation"]) == ("net", True, "000001")
    assert (facts["indexed_tiles"], facts["unknown_tiles"]) == (4, 0)
    assert sealed("verify", "--json", **LAYERED).json["index_agreement"]["indexed_tiles"] == 4


def test_a_switch_and_a_rollback_change_the_index_with_the_tiles(sealed: Call) -> None:
    assert sealed("index", "build", describe("b.npz", TILES, seed=3), "--model", "new-net").code == 0
    assert sealed("base", "seal").code == 0
    for command, model in (("switch", "new-net"), ("rollback", "net")):
        assert sealed("base", command, **UNSIGNED).code == 0
        assert sealed("status", "--json", **LAYERED).json["index"]["descriptor_model"] == model


def test_the_index_of_a_base_is_never_rebuilt(aircraft: Path) -> None:
    index = aerotile.build_descriptor_index(flight())
    with pytest.raises(aerotile.IndexBuildError, match="never changed"):
        index.rebuild(
            [tile(0)],
            np.ones((1, 16), np.float32),
            descriptor_model="net",
            built_at=index.metadata().built_at,
        )
    assert index.search(query(), 1)[0].tile_id == tile(1)
    close_runtimes()
