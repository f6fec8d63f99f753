"""`aerotile ingest` and the disk budget: what is evicted, counted, and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli_calls import Call

from aerotile.domain.values.disk_usage import footprint

DaysAgo = Callable[[int], str]
MakeFolder = Callable[..., Path]


def test_an_ingest_beyond_the_budget_warns_and_stays_within_it(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, tmp_path: Path
) -> None:
    folder = xyz_folder(count=6)
    size = max(path.stat().st_size for path in folder.rglob("*.jpg"))
    budget = str(3 * footprint(size))
    result = call(
        "ingest", "tiles", "--captured-at", days_ago(1), "--batch-size=1", AEROTILE_BUDGET_MAX_BYTES=budget
    )
    assert result.code == 1
    assert result.err.startswith("warning: new tiles need ")
    assert "evicted: imported/7/60/0\n" in result.err
    assert " tiles were evicted to make room — raise budget.max_bytes" in result.err
    assert " tiles evicted to make room, " in result.out
    kept = list((tmp_path / "aerotile-data/tiles").rglob("*.jpg"))
    assert len(kept) == 3


def test_an_ingest_that_evicts_is_no_success_and_says_how_many_and_which(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=6)
    size = max(path.stat().st_size for path in folder.rglob("*.jpg"))
    arguments = ("ingest", "tiles", "--captured-at", days_ago(1), "--batch-size=1", "--json")
    result = call(*arguments, AEROTILE_BUDGET_MAX_BYTES=str(3 * footprint(size)))
    assert result.code == 1
    evicted = result.json["evicted"]
    assert evicted["count"] == len(evicted["tiles"]) == 6 - call("status", "--json").json["tiles"]["count"]
    assert evicted["tiles"][0] == "imported/7/60/0"
    assert evicted["freed_bytes"] > 0
    again = call(*arguments)
    assert (again.code, again.json["evicted"]) == (0, {"count": 0, "freed_bytes": 0, "tiles": []})


def test_small_tiles_count_with_their_blocks_and_inodes(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=4)
    lengths = [path.stat().st_size for path in folder.rglob("*.jpg")]
    budget = {"AEROTILE_BUDGET_MAX_BYTES": str(2 * sum(lengths))}
    assert max(lengths) < 4096
    assert call("ingest", "tiles", "--captured-at", days_ago(1), **budget).code == 1
    call("ingest", "tiles", "--captured-at", days_ago(1))
    tiles = call("status", "--json", **budget).json["tiles"]
    taken = 4 * (4096 + 4096 + 512)
    assert (tiles["disk_bytes"], tiles["footprint_bytes"]) == (sum(lengths), taken)
    assert tiles["over_budget_bytes"] == taken - 2 * sum(lengths)


def test_a_store_over_its_budget_says_so_and_evicts_nothing_for_it(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder(count=3)
    call("ingest", "tiles", "--captured-at", days_ago(1))
    xyz_folder(name="more", x=61, count=1)
    result = call("ingest", "more", "--captured-at", days_ago(1), AEROTILE_BUDGET_MAX_BYTES="20000")
    assert result.code == 1
    assert (
        "the store takes 6112 bytes more than its budget of 20000; no tile is evicted for that" in result.err
    )
    assert call("status", "--json").json["tiles"]["count"] == 3
