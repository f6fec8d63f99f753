"""`aerotile verify`: what it finds, mends, moves aside, and takes up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import Call


def replace(path: Path, content: bytes) -> None:
    """Put other content in place of a file that is read-only on purpose."""
    path.unlink()
    path.write_bytes(content)


def test_verify_of_a_whole_store_finds_nothing(call: Call, filled: Path) -> None:
    result = call("verify", "--json")
    assert result.code == 0
    assert result.json == {
        "tiles": 4,
        "findings": [],
        "fetch_again": [],
        "index": [],
        "index_agreement": None,
    }


def test_verify_finds_each_kind_of_damage_and_mends_only_what_it_is_sure_of(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    replace(filled / "1.jpg", (filled / "2.jpg").read_bytes())
    (filled / "2.jpg.sha256").unlink()
    replace(filled / "3.jpg.sha256", b"0" * 64 + b"  3.jpg\n")
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    before = sorted(filled.iterdir())
    result = call("verify", "--json")
    assert result.code == 1
    found = {(finding["kind"], finding["tile"]) for finding in result.json["findings"]}
    assert found == {
        ("file_missing", "imported/7/60/0"),
        ("content_damaged", "imported/7/60/1"),
        ("sidecar_missing", "imported/7/60/2"),
        ("sidecar_wrong", "imported/7/60/3"),
        ("orphan_file", "imported/7/60/9"),
    } | ({("orphan_sidecar", "imported/7/60/0")} & found)
    assert all(finding["remedy"] for finding in result.json["findings"])
    mended = {finding["kind"] for finding in result.json["findings"] if finding["mended"]}
    assert mended == {"sidecar_missing", "sidecar_wrong"}
    assert set(filled.iterdir()) == {*before, filled / "2.jpg.sha256"}


def test_verify_that_has_mended_everything_succeeds(call: Call, filled: Path) -> None:
    (filled / "2.jpg.sha256").unlink()
    result = call("verify")
    assert result.code == 0
    assert "1 x sidecar_missing: nothing: it was restored" in result.out
    assert call("verify", "--json").json["findings"] == []


def test_verify_reconciles_only_when_it_is_told_to(call: Call, filled: Path) -> None:
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    (kept,) = call("verify", "--json").json["findings"]
    assert (kept["kind"], kept["mended"]) == ("orphan_file", False)
    assert "aerotile verify --reconcile" in kept["remedy"]
    told = call("verify", "--reconcile", "--json")
    assert told.code == 0
    assert told.json["reconciled"]["orphans_removed"] == 1
    assert told.json["findings"] == []
    assert not (filled / "9.jpg").exists()


def test_verify_says_what_it_reconciled(call: Call, filled: Path) -> None:
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    result = call("verify", "--reconcile")
    assert result.code == 0
    assert result.out.startswith("1 file without a row and 0 temporary files removed, 0 sidecars restored\n")


def test_repair_quarantines_what_is_damaged_and_lists_what_to_fetch_again(
    call: Call, filled: Path, days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    damaged = (filled / "2.jpg").read_bytes()
    (filled / "0.jpg").unlink()
    replace(filled / "1.jpg", damaged)
    result = call("verify", "--repair", "--json")
    assert result.code == 3
    lost = ["imported/7/60/0", "imported/7/60/1"]
    assert result.json["fetch_again"] == lost
    kept_at = {finding["tile"]: finding["kept_at"] for finding in result.json["findings"]}
    assert kept_at[lost[0]] is None
    assert (tmp_path / "aerotile-data/tiles" / kept_at[lost[1]]).read_bytes() == damaged
    assert call("verify", "--json").json["findings"] == []
    kinds = [event["kind"] for event in call("record", "--json").json_lines]
    assert kinds.count("c6.quarantined") == 2
    assert call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json["stored"] == 2
    assert call("verify").code == 0
    told = call("verify", "--repair")
    assert told.code == 0


def test_what_was_quarantined_before_stays_beside_what_is_quarantined_now(
    call: Call, filled: Path, days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    for content in (b"first", b"second"):
        replace(filled / "1.jpg", content)
        assert call("verify", "--repair").code == 3
        call("ingest", "tiles", "--captured-at", days_ago(1))
    kept = sorted((tmp_path / "aerotile-data/tiles/.quarantine/imported/7/60").glob("1.jpg*"))
    assert [file.read_bytes() for file in kept if "sha256" not in file.name] == [b"first", b"second"]
    assert sum("sha256" in file.name for file in kept) == 2


def test_a_repair_tells_a_person_which_tiles_to_fetch(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    result = call("verify", "--repair")
    assert result.code == 3
    assert "fetch again: imported/7/60/0" in result.out
    assert "error: " not in result.err


def test_an_interrupted_check_is_taken_up_again(call: Call, filled: Path, tmp_path: Path) -> None:
    assert call("verify", "--resume").code == 2
    (filled / "0.jpg").unlink()
    replace(filled / "3.jpg", b"damaged")
    interrupted = tmp_path / "aerotile-data/verify-progress.json"
    findings = call("verify", "--json").json["findings"]
    assert not interrupted.exists()
    store_id = (tmp_path / "aerotile-data/tiles/.aerotile-store").read_text().split()[-1]
    interrupted.write_text(
        json.dumps({"store_id": store_id, "place": (7 << 44) + (1 << 43), "findings": findings[:1]})
    )
    resumed = call("verify", "--resume", "--json")
    assert resumed.json["findings"] == findings[:1]
    assert not interrupted.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"store_id": "x"}', '{"store_id": 3, "place": -1}'])
def test_progress_that_no_check_left_is_refused(
    call: Call, filled: Path, content: str, tmp_path: Path
) -> None:
    (tmp_path / "aerotile-data/verify-progress.json").write_text(content)
    result = call("verify", "--resume")
    assert result.code == 2
    assert "run aerotile verify without --resume" in result.error


@pytest.mark.parametrize("rate", ["0", "fast", "-1"])
def test_a_rate_that_is_none_is_refused(call: Call, filled: Path, rate: str) -> None:
    assert call("verify", f"--max-rate={rate}").code == 2


def test_verify_tells_a_person_what_to_do(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    result = call("verify")
    assert result.code == 1
    assert "1 x file_missing: " in result.out
    assert result.err.startswith("error: 1 finding in 4 tiles")
