"""A flight whose lookups are on the record, explained and repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.loader import load_config
from aerotile.domain.find_tiles import find_tiles
from aerotile.domain.values.areas import Area
from aerotile.domain.values.lookups import PositionFix
from aerotile.domain.values.tile_grid import Bbox

RECORD = "aerotile-data/record"
TILES = [f"imported/7/60/{y}" for y in range(4)]
WORLD = Area([Bbox(-85.0, -180.0, 85.0, 180.0)])


def described(seed: int) -> npt.NDArray[np.float32]:
    descriptors = np.random.default_rng(seed).normal(size=(len(TILES), 16)).astype(np.float32)
    np.savez("d.npz", tiles=TILES, descriptors=descriptors)
    return descriptors


@pytest.fixture
def queries(call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]) -> list[object]:
    xyz_folder(count=4)
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    descriptors = described(5)
    assert call("index", "build", "d.npz", "--model", "net").code == 0
    return list(descriptors)


@pytest.fixture
def fly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str | None]]:
    """Fly over queries, once with a prior and once without; the names of the lookups."""

    def lookups(queries: list[npt.NDArray[np.float32]], detail: str = "full") -> list[str | None]:
        monkeypatch.setenv("AEROTILE_RECORD_LOOKUPS", detail)
        names = []
        with Runtime(load_config()) as runtime:
            store, index = runtime.store_in_use, runtime.index_in_use
            for query in queries:
                for near in (None, WORLD):
                    with find_tiles(query, 3, index=index, store=store, near=near) as found:
                        names.append(found.lookup)
                        lat, lon = found[0].tile_id.centre
                        fix = PositionFix(
                            tile_id=found[0].tile_id,
                            lat=lat,
                            lon=lon,
                            fixed_at=datetime.now(timezone.utc),
                            error_m=5,
                            lookup=found.lookup,
                        )
                        runtime.recorder.record_fix(fix)
        monkeypatch.delenv("AEROTILE_RECORD_LOOKUPS")
        return names

    return lookups


def test_a_flight_is_repeated_with_the_same_answers(call: Call, queries: list[object], fly: Call) -> None:
    names = fly(queries)
    replayed = call("replay", RECORD)
    assert replayed.code == 0
    assert replayed.out.splitlines() == [
        *(f"{name}: same" for name in names),
        "8 lookups repeated: 8 same, 0 different",
    ]
    facts = call("replay", RECORD, "--json").json
    assert (facts["same"], facts["different"], facts["damaged_lines"]) == (8, 0, 0)
    assert all(lookup["same_index"] for lookup in facts["lookups"])
    assert call("replay", RECORD).out == replayed.out  # a replay leaves nothing on the record


def test_another_index_and_another_content_are_named_and_going_back_mends_it(
    call: Call, queries: list[object], fly: Call
) -> None:
    fly(queries)
    before = call("replay", RECORD, "--json").json["index_sha256"]
    described(6)
    assert call("index", "build", "d.npz", "--model", "net").code == 0
    other = call("replay", RECORD)
    assert other.code == JOB_FAILED
    assert "error: 8 of 8 lookups have another answer" in other.err
    assert f"8 were answered by the index {before}, this is " in other.out
    facts = call("replay", RECORD, "--json").json
    assert (facts["different"], facts["answered_by_other_indexes"]) == (8, {before: 8})
    assert not any(lookup["same_index"] for lookup in facts["lookups"])
    assert all(lookup["differences"] for lookup in facts["lookups"])
    assert call("index", "rollback").code == 0
    assert call("replay", RECORD).code == 0
    assert call("delete", TILES[0]).code == 0
    gone = call("replay", RECORD)
    assert gone.code == JOB_FAILED
    assert f"{TILES[0]} with content unknown in place of " in gone.out


def test_what_can_not_be_repeated_is_counted_by_reason(
    call: Call, queries: list[object], fly: Call, tmp_path: Path
) -> None:
    fly(queries, "digest")
    refused = call("replay", RECORD)
    assert refused.code == BAD_CALL
    assert refused.out == "0 lookups repeated: 0 same, 0 different; not repeated: 8 digest only\n"
    assert 'record with record.lookups = "full"' in refused.err
    np.save("q.npy", queries[0])
    assert call("search", "q.npy", AEROTILE_RECORD_LOOKUPS="full").code == 0
    fly(queries[:1])
    with (tmp_path / RECORD / "record-000001.jsonl").open("ab") as file:
        file.write(b'1d2f0a52 {"schema_version":"1.9.0","kind":"c6.loo')
    mixed = call("replay", RECORD)
    assert mixed.code == 0
    last = "2 lookups repeated: 2 same, 0 different; not repeated: 8 digest only, 1 no store open"
    assert mixed.out.splitlines()[-1] == last
    assert mixed.err.startswith("warning: 1 damaged line skipped, the first in ")
    assert call("replay", RECORD, "--json").json["not_replayed"] == {
        "digest only": 8,
        "no store open": 1,
        "unreadable": 0,
        "thinned": 0,
    }


def test_nothing_is_left_where_lookups_are_not_recorded(call: Call, queries: list[object], fly: Call) -> None:
    assert fly(queries, "off") == [None] * 8
    assert call("record", "--kind", "c6.lookup").out == ""


def test_a_base_answers_in_the_place_of_the_store(
    call: Call, queries: list[object], fly: Call, tmp_path: Path
) -> None:
    fly(queries)
    assert call("base", "seal").code == 0
    assert call("base", "keygen", "release.key").code == 0
    public = (tmp_path / "release.key.pub").read_text().strip()
    assert call("base", "sign", "000001", "--key", "release.key").code == 0
    trusting = {"AEROTILE_BASE_PUBLIC_KEYS": public}
    assert call("base", "switch", **trusting).code == 0
    replayed = call("replay", RECORD, "--base", "aerotile-data/base", **trusting)
    assert (replayed.code, replayed.err) == (0, "")
    refused = call("replay", RECORD, "--base", "aerotile-data/base")
    assert refused.code == BAD_CALL
    assert "signed by no pinned key" in refused.error
    assert call("base", "seal", "--bbox", "-179,-84,-11,84.5", "--no-index").code == 0
    assert call("base", "sign", "000002", "--key", "release.key").code == 0
    assert call("base", "switch", **trusting).code == 0
    other = call("replay", RECORD, "--base", "aerotile-data/base", **trusting)
    assert other.code == JOB_FAILED
    assert "with content unknown" in other.out


def test_a_record_of_another_base_says_so_in_one_line(
    call: Call, queries: list[object], fly: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEROTILE_BASE_REQUIRE_SIGNATURE", "false")
    monkeypatch.setenv("AEROTILE_BASE_LAYERED", "true")
    assert call("base", "seal").code == 0
    assert call("base", "switch").code == 0
    fly(queries[:1])
    replayed = call("replay", RECORD)
    assert (replayed.code, "flown by" in replayed.out) == (0, False)
    assert call("replay", RECORD, "--json").json["flown_by_other_bases"] == {}
    assert call("base", "seal", "--bbox", "-179,-84,-11,84.5").code == 0
    assert call("base", "switch").code == 0
    manifests = {each["generation"]: each["manifest_sha256"] for each in opened_bases(call)}
    other = call("replay", RECORD)
    assert other.code == JOB_FAILED
    (line,) = [line for line in other.out.splitlines() if "flown by" in line]
    assert line.startswith(
        f"the record was flown by the base generation 000001 of {manifests['000001']}, "
        "this is generation 000002 of "
    )
    found = call("replay", RECORD, "--json").json["flown_by_other_bases"]
    assert found == {manifests["000001"]: "000001"}


def opened_bases(call: Call) -> list[dict[str, str]]:
    lines = call("record", "--kind", "c6.base.opened", "--json").json_lines
    return [line["payload"] for line in lines]


def test_wrong_uses_are_refused_in_one_line(call: Call, queries: list[object], tmp_path: Path) -> None:
    assert call("replay", "nowhere").code == BAD_CALL
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.txt").write_text("no record\n")
    for foreign in ("empty", "other.txt"):
        refused = call("replay", foreign)
        assert (refused.code, refused.out) == (BAD_CALL, "")
        assert f"error: {foreign} holds no flight record: no whole event is there" in refused.err
    (tmp_path / "no-base").mkdir()
    no_base = call("replay", "empty", "--base", "no-base")
    assert (no_base.code, no_base.out) == (BAD_CALL, "")
    assert "no base is in use in no-base" in no_base.err


def test_a_lookup_is_explained_by_number_or_name(call: Call, queries: list[object], fly: Call) -> None:
    names = fly(queries[:2])
    told = call("record", "--lookup", "2")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].split() == ["lookup", names[1]]
    assert '"box": [-180.0, -85.0, 180.0, 85.0]' in told.out
    assert ["1", TILES[0], "yes"] in [[*line.split()[:2], *line.split()[3:4]] for line in lines]
    assert f"fix from {TILES[0]}: " in told.out
    (facts,) = call("record", "--lookup", names[0], "--json").json
    assert (facts["lookup"], facts["searched"], facts["hit_count"]) == (names[0], "graph", 3)
    assert facts["fixes"][0]["tile"] == TILES[0]
    missing = call("record", "--lookup", "99")
    assert missing.code == BAD_CALL
    assert missing.error.startswith("the record holds no lookup 99")
    assert call("record", "--lookup", "1", "--follow").code == BAD_CALL
