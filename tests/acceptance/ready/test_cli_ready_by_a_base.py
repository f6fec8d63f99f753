"""`aerotile ready` with a sealed base, alone and in front of a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_calls import JOB_FAILED, Call
from ready_calls import READY, Place, damage, named, tile

UNSIGNED = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}


def test_a_sealed_base_is_judged_without_a_database(
    call: Call, filled: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = {"AEROTILE_BASE_PUBLIC_KEYS": call("base", "keygen", "a.key").out.strip()}
    assert call("base", "seal").code == 0
    assert call("base", "switch", **UNSIGNED).code == 0
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    refused = call(*READY, **pinned)
    assert (refused.code, "signed by 0 of the 1 pinned keys" in refused.error) == (JOB_FAILED, True)
    told = call(*READY, "--json", **pinned, **UNSIGNED)
    conditions = {one["name"]: one for one in told.json["conditions"]}
    assert set(conditions) == {
        "index",
        "index and tiles agree",
        "tiles as described",
        "base",
        "clock",
        "take-off",
        "record",
    }
    assert conditions["base"]["holds"] is False
    assert conditions["base"]["remedy"].startswith("aerotile base sign 000001 --key FILE")
    assert {each["what"]: each["remedy"] for each in told.json["noes"]} == {
        "not checked": "aerotile base verify"
    }
    assert call("base", "sign", "000001", "--key", "a.key", **pinned).code == 0
    assert call("base", "verify", **pinned).code == 0
    assert call(*READY, **pinned).code == 0
    damage(Path("aerotile-data/base/generations/000001/tiles.pmtiles"), 16_384 + 300)
    assert call("base", "verify", **pinned).code == JOB_FAILED
    damaged = call(*READY, "--json", **pinned)
    assert damaged.code == JOB_FAILED
    assert {each["what"]: each["tiles"] for each in damaged.json["noes"]} == {"damaged": 1}
    assert damaged.json["noes"][0]["remedy"].startswith("aerotile base rollback")


def test_the_index_of_a_base_is_looked_at_and_its_damage_is_none_of_a_tile(
    call: Call, filled: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("base", "seal").code == 0
    assert call("base", "switch", **UNSIGNED).code == 0
    shutil.rmtree("aerotile-data/index")
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    assert call("base", "verify", **UNSIGNED).code == 0

    def looked_at() -> tuple[dict[str, Any], list[str], str]:
        told = call(*READY, "--base", "--json", **UNSIGNED).json
        index = next(one for one in told["conditions"] if one["name"] == "index")
        return index, [each["what"] for each in told["noes"] if "what" in each], str(index["remedy"])

    index, noes, _ = looked_at()
    assert (index["holds"], index["detail"]) == (True, f"{len(filled)} descriptors of net, in the base")
    assert noes == []
    damage(Path("aerotile-data/base/generations/000001/tiles.descriptors"), -20)
    assert call("base", "verify", **UNSIGNED).code == JOB_FAILED
    index, noes, remedy = looked_at()
    assert (index["holds"], remedy.startswith("aerotile base rollback")) == (False, True)
    assert noes == ["undescribed"]  # and not "damaged"
    assert "tiles.descriptors is damaged" in index["detail"]


def test_a_base_that_is_not_the_newest_is_a_no_go(call: Call, filled: list[Place]) -> None:
    pinned = {"AEROTILE_BASE_PUBLIC_KEYS": call("base", "keygen", "a.key").out.strip()}
    for name in ("000001", "000002"):
        assert call("base", "seal").code == 0
        assert call("base", "sign", name, "--key", "a.key", **pinned).code == 0
        assert call("base", "switch", name, **pinned).code == 0
    assert call("base", "verify", "000001", **pinned).code == 0
    assert call("base", "rollback", **pinned).code == 0
    told = call(*READY, "--base", "--json", **pinned)
    (no,) = (one for one in told.json["conditions"] if not one["holds"])
    assert (told.code, no["name"], no["remedy"].startswith("aerotile base switch 000002")) == (
        1,
        "base",
        True,
    )


def test_the_store_fills_a_hole_of_the_base_in_front_of_it(
    call: Call, places: list[Place], bring: Call, describe: Call, days_ago: Callable[[int], str]
) -> None:
    key = call("base", "keygen", "a.key").out.strip()
    layered = {"AEROTILE_BASE_PUBLIC_KEYS": key, "AEROTILE_BASE_LAYERED": "true"}
    bring(places[1:], days_ago(100))
    assert call("base", "seal").code == 0
    assert call("base", "sign", "000001", "--key", "a.key").code == 0
    assert call("base", "switch", **layered).code == 0
    assert call("base", "verify", **layered).code == 0
    assert call("delete", *map(tile, places[1:])).code == 0
    describe(places[1:], **layered)
    told = call(*READY, "--json", **layered)
    assert (told.code, named(told.json)) == (JOB_FAILED, {"missing": {places[0]}})
    assert told.json["noes"][0]["remedy"].startswith("aerotile provision")
    bring(places[:1], days_ago(100), **layered)
    describe(places, **layered)
    assert call("verify", **layered).code == 0
    assert call(*READY, **layered).code == 0
