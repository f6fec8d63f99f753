"""Tiles that were replaced after the index was built: the index knows, and readiness says no."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import JOB_FAILED, Call
from ready_calls import READY, Place, damage, named, tile

from aerotile.adapters.postgres.stored_rows import PostgresStoredRows

UNSIGNED = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
MENDS = "aerotile describe FILE.npz --model NETWORK, then aerotile index build FILE.npz"


def condition(call: Call, *more: str, **environment: str) -> tuple[dict[str, Any], dict[str, Any]]:
    facts = call(*READY, *more, "--json", **environment).json
    return next(one for one in facts["conditions"] if one["name"] == "tiles as described"), facts


@pytest.fixture
def replace(
    call: Call, jpeg: Callable[..., bytes], days_ago: Callable[[int], str]
) -> Callable[[Place], None]:
    """Put another picture in the place of a tile, and check the store anew."""

    def put(place: Place) -> None:
        zoom, x, y = map(str, place)
        (Path("newer") / zoom / x).mkdir(parents=True)
        (Path("newer") / zoom / x / f"{y}.jpg").write_bytes(jpeg(199))
        assert call("ingest", "newer", "--captured-at", days_ago(1), "--replace").code == 0
        assert call("verify").code == 0

    return put


def test_a_tile_that_was_replaced_after_the_build_is_a_no_that_names_it(
    call: Call, filled: list[Place], replace: Callable[[Place], None]
) -> None:
    assert condition(call)[0]["detail"] == "0 indexed tiles were replaced since"
    replace(filled[3])
    told = call(*READY)
    assert told.code == JOB_FAILED
    found, facts = condition(call)
    assert (found["holds"], facts["go"]) == (False, False)
    assert found["detail"] == f"1 indexed tile was replaced since, for instance {tile(filled[3])}"
    assert found["remedy"].startswith(MENDS)
    assert named(facts) == {"undescribed": {filled[3]}}
    assert found["detail"] in told.out


@pytest.mark.usefixtures("filled")
def test_status_reads_the_catalogue_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[[Any], Any] = PostgresStoredRows.catalogue
    reads: list[Any] = []
    monkeypatch.setattr(PostgresStoredRows, "catalogue", lambda rows: reads.append(rows) or read(rows))
    facts = call("status", "--json").json["index"]
    assert (facts["contents_compared"], facts["unknown_tiles"]) == (True, 0)
    assert len(reads) == 1


def test_status_and_verify_count_and_name_the_tiles_that_were_replaced(
    call: Call, filled: list[Place], replace: Callable[[Place], None]
) -> None:
    replace(filled[3])
    for facts in (call("status", "--json").json["index"], call("verify", "--json").json["index_agreement"]):
        assert facts["contents_compared"] is True
        assert (facts["changed_tiles"], facts["changed_listed"]) == (1, [tile(filled[3])])
    said = call("verify").out
    assert f"1 tile was replaced since described: {tile(filled[3])}; describe the tiles anew" in said
    kept = call("index", "build")
    assert (kept.code, "the index it was built from describes other bytes" in kept.error) == (1, True)
    assert call("index", "build", "--no-store-check").code == 0
    assert call("status", "--json").json["index"]["changed_tiles"] == 1


@pytest.mark.usefixtures("filled")
def test_an_index_that_does_not_say_from_which_bytes_it_was_made_is_not_known_to_agree(call: Call) -> None:
    with np.load("d.npz") as arrays:
        np.savez("mute.npz", **{name: arrays[name] for name in ("tiles", "descriptors")})
    assert call("index", "build", "mute.npz", "--model", "net").code == 0
    found, facts = condition(call)
    assert (found["holds"], facts["go"], found["remedy"]) == (True, True, None)
    assert found["detail"].startswith("not known: the index does not say from which bytes it was made")
    assert found["detail"] in call(*READY).out
    shown = call("status", "--json").json["index"]
    assert (shown["contents_compared"], shown["changed_tiles"]) == (False, None)
    for command in ("status", "verify"):
        assert "can't be compared" in call(command).out


def test_damage_of_the_digests_costs_no_search_and_is_found(call: Call, filled: list[Place]) -> None:
    (path,) = Path("aerotile-data/index/generations").glob("*/tiles.contents")
    assert path.stat().st_size == 8 * len(filled)
    damage(path, 3)
    np.save("q.npy", np.ones(16, np.float32))
    assert call("search", "q.npy").code == 0
    assert "tiles.contents is not the file that tiles.meta.json describes" in call("verify").out
    for command in (["status"], [*READY]):
        told = call(*command)
        assert (told.code, "tiles.contents is not the file" in told.out + told.err) == (JOB_FAILED, True)


def test_a_base_is_not_sealed_with_descriptors_of_other_bytes_than_it_holds(
    call: Call, filled: list[Place], replace: Callable[[Place], None]
) -> None:
    replace(filled[3])
    refused = call("base", "seal")
    assert refused.code == JOB_FAILED
    assert refused.error.startswith(
        "the index describes other bytes than the base would hold of 1 tile, for instance "
        f"{tile(filled[3])} — describe the tiles anew"
    )
    assert call("base", "list", "--json").json == []
    assert call("base", "seal", "--no-index").code == 0


def test_a_sealed_base_says_whether_its_descriptors_were_compared_with_its_tiles(
    call: Call, filled: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("base", "seal").code == 0
    with np.load("d.npz") as arrays:
        np.savez("mute.npz", **{name: arrays[name] for name in ("tiles", "descriptors")})
    assert call("index", "build", "mute.npz", "--model", "net").code == 0
    sealed = call("base", "seal")
    assert (sealed.code, "does not say from which bytes" in sealed.err) == (0, True)
    shutil.rmtree("aerotile-data/index")
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    for name, told in (("000001", "0 indexed tiles were replaced since"), ("000002", "not known: ")):
        assert call("base", "switch", name, **UNSIGNED).code == 0
        found, _ = condition(call, "--base", **UNSIGNED)
        assert found["holds"]
        assert found["detail"].startswith(told)
