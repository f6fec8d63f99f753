"""A base in front of the store, as an operator calls it: what is there already, refused, judged, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_calls import Call

LAYERED = {"AEROTILE_BASE_LAYERED": "true", "AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}


def test_a_tile_of_the_base_is_not_replaced_and_the_way_out_is_to_seal_anew(
    sealed: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], jpeg: Callable[..., bytes]
) -> None:
    assert sealed("base", "switch", **LAYERED).code == 0
    folder = xyz_folder("newer", count=1)
    (folder / "7/60/0.jpg").write_bytes(jpeg(99))
    for options in ([], ["--replace"]):
        refused = sealed("ingest", "newer", "--captured-at", days_ago(0), *options, **LAYERED)
        assert refused.code == 1
        assert "tile imported/7/60/0 belongs to the sealed base, which is never changed" in refused.err
        assert "seal a new generation without it" in refused.err


def test_with_a_base_in_front_its_tiles_are_there_already_and_are_not_deleted(
    sealed: Call, xyz_folder: Callable[..., Path]
) -> None:
    assert sealed("base", "switch", **LAYERED).code == 0
    again = sealed("ingest", "tiles", "--captured-at", "2026-05-01", "--json", **LAYERED)
    assert (again.code, again.json["present"], again.json["stored"]) == (0, 3, 0)
    refused = sealed("delete", "imported/7/60/1", **LAYERED)
    assert refused.code == 1
    assert "tile imported/7/60/1 belongs to the sealed base" in refused.err
    more = sealed("ingest", xyz_folder("more", x=61), "--captured-at", "2026-05-01", "--json", **LAYERED)
    assert more.json["stored"] == 4


@pytest.mark.parametrize("command", [["delete"], ["pin"], ["amend", "--captured-at", "2026-04-01"]])
def test_no_tile_is_changed_where_one_of_them_is_of_the_base(
    sealed: Call, xyz_folder: Callable[..., Path], command: list[str]
) -> None:
    assert sealed("ingest", xyz_folder("more", x=61), "--captured-at", "2026-05-01").code == 0
    assert sealed("base", "switch", **LAYERED).code == 0
    assert sealed("delete", "imported/7/60/2").code == 0  # the base alone holds it now
    stored = sealed("dump", "--json").out
    for sealed_tile in ("imported/7/60/1", "imported/7/60/2"):
        refused = sealed(*command, "imported/7/61/0", sealed_tile, **LAYERED)
        assert refused.code == 1
        assert f"tile {sealed_tile} belongs to the sealed base, which is never changed" in refused.err
        assert sealed("dump", "--json").out == stored
    assert sealed(*command, "imported/7/61/0", **LAYERED).code == 0
    assert sealed("dump", "--json").out != stored


def test_new_tiles_are_judged_by_the_ground_of_the_base_too(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    assert call("ingest", xyz_folder(count=1), "--captured-at", days_ago(1)).code == 0
    assert call("base", "seal", AEROTILE_FRESHNESS_DEFAULT_CLASSIFICATION="active_conflict").code == 0
    assert call("base", "switch", **LAYERED).code == 0
    old = ["ingest", str(xyz_folder("more", x=61)), "--captured-at", days_ago(300), "--json"]
    refused = call(*old, **LAYERED)
    assert (refused.code, refused.json["stored"]) == (1, 0)
    assert call(*old).json["stored"] == 4


def test_the_pin_of_a_twin_in_the_store_can_be_lifted(sealed: Call) -> None:
    assert sealed("base", "switch", **LAYERED).code == 0
    assert sealed("pin", "imported/7/60/1").code == 0
    assert sealed("pin", "--lift", "imported/7/60/1", **LAYERED).code == 0
    assert sealed("pin", "--list", "--json").json["pinned"] == []


def test_tiles_that_the_base_alone_holds_count_for_an_ingest_and_for_an_index(sealed: Call) -> None:
    tiles = [f"imported/7/60/{y}" for y in range(3)]
    assert sealed("base", "switch", **LAYERED).code == 0
    assert sealed("delete", *tiles).code == 0
    other = sealed("ingest", "tiles", "--captured-at", "2026-05-02", **LAYERED)
    assert other.code == 1
    assert "with the same bytes, captured at 2026-05-01" in other.err
    np.savez("d.npz", tiles=tiles, descriptors=np.eye(3, 16, dtype=np.float32))
    alone = sealed("index", "build", "d.npz", "--model", "net")
    assert (alone.code, "none of the 3 indexed tiles is in the store" in alone.error) == (1, True)
    assert sealed("index", "build", "d.npz", "--model", "net", "--json", **LAYERED).json["unknown_tiles"] == 0
    assert sealed("status", "--json", **LAYERED).json["index"]["unknown_tiles"] == 0
    assert sealed("verify", "--json", **LAYERED).json["index_agreement"]["unknown_tiles"] == 0


def test_status_says_whether_the_base_is_trusted_and_what_it_takes_of_the_budget(
    sealed: Call, keys: list[str]
) -> None:
    before = sealed("status", "--json").json
    assert before["base"] == {"generation": None, "layered": False}
    assert sealed("base", "switch", **LAYERED).code == 0
    facts = sealed("status", "--json", **LAYERED).json
    files = Path("aerotile-data/base/generations/000001").iterdir()
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
    assert facts["base"] == {
        "generation": "000001", "layered": True, "tiles": 3, "twins_in_store": 3, "trusted": False,
        "recall_number": 0,
        "disk_bytes": size,
    }  # fmt: skip
    assert facts["tiles"]["budget_bytes"] == before["tiles"]["budget_bytes"] - size
    assert facts["tiles"]["onboard_share_bytes"] == int(facts["tiles"]["budget_bytes"] * 0.25)
    shown = sealed("status", **LAYERED).out.split("base:")[1].splitlines()
    assert ["trusted", "no"] in [line.split() for line in shown]
    strict = {"AEROTILE_BASE_LAYERED": "true", "AEROTILE_BASE_PUBLIC_KEYS": keys[0]}
    refused = sealed("ingest", "tiles", "--captured-at", "2026-05-01", **strict)
    assert refused.code == 1
    assert "0 of the 1 pinned keys" in refused.err
    small = sealed(
        "ingest", "tiles", "--captured-at", "2026-05-01", AEROTILE_BUDGET_MAX_BYTES="900", **LAYERED
    )
    assert small.code == 2
    assert "budget.max_bytes, which is 900" in small.err


def test_the_store_evicts_and_fills_what_the_base_leaves_of_the_budget(
    sealed: Call, xyz_folder: Callable[..., Path]
) -> None:
    assert sealed("base", "switch", **LAYERED).code == 0
    before = sealed("status", "--json", **LAYERED).json
    budget = before["base"]["disk_bytes"] + before["tiles"]["footprint_bytes"]  # room for three tiles
    tight = LAYERED | {"AEROTILE_BUDGET_MAX_BYTES": str(budget)}
    more = sealed(
        "ingest", xyz_folder("more", x=61, count=2), "--captured-at", "2026-05-01", "--json", **tight
    )
    assert (more.code, more.json["stored"], more.json["evicted"]["count"]) == (1, 2, 2)
    after = sealed("status", "--json", **tight).json["tiles"]
    assert (after["count"], after["over_budget_bytes"]) == (3, 0)
    assert after["budget_bytes"] == before["tiles"]["footprint_bytes"]
