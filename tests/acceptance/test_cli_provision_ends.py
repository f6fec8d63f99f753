"""`aerotile provision` that ends before its last tile: by a signal, by its source, by its dataset."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives import (
    FOUR,
    picture,
    write_mbtiles,
)
from cli_calls import JOB_FAILED, Call
from waiting import until

from aerotile.domain.intake.provision import provision_tiles

DATE = ("--captured-at", "2026-05-01")


@pytest.mark.slow(reason="three processes, each with a server of its own")
def test_a_kill_or_ctrl_c_loses_nothing_that_a_second_run_does_not_bring(
    spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    tiles = {(9, x, y): picture(x, "PNG") for x in range(24) for y in range(64)}
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    root = tmp_path / "aerotile-data/tiles/imported"
    signals = [signal.SIGKILL, signal.SIGINT]
    for sent in signals:
        before = len(list(root.rglob("*.jpg")))
        process = spawn("provision", "o.mbtiles", *DATE)
        until(lambda: process.poll() is not None or len(list(root.rglob("*.jpg"))) > before)  # noqa: B023
        process.send_signal(sent)  # nothing where it has ended by now
        _, err = process.communicate(timeout=120)
        if sent is signal.SIGINT and process.returncode:
            assert process.returncode == 130
            assert "the same command goes on from there" in err
    last = spawn("provision", "o.mbtiles", *DATE, "--json")
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert len(list(root.rglob("*.jpg"))) == len(tiles)
    assert '"refused": 0' in out


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_changed_while_it_is_read_is_named(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    archive = write_mbtiles(tmp_path / "o.mbtiles", FOUR)

    def provision(*arguments: Any, **terms: Any) -> None:
        provision_tiles(*arguments, **terms)
        if replaced:
            write_mbtiles(tmp_path / "new", FOUR).rename(archive)
        else:
            archive.unlink()

    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "o.mbtiles", *DATE)
    assert result.code == JOB_FAILED
    assert "o.mbtiles was changed while it was read" in result.err
    assert result.out.startswith("4 stored")


def test_a_file_that_can_not_be_reached_behind_its_last_tile_hides_no_count(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    write_mbtiles(stick / "o.mbtiles", FOUR)

    def provision(*arguments: Any, **terms: Any) -> None:
        provision_tiles(*arguments, **terms)
        stick.rename(tmp_path / "away")
        stick.touch()  # another error than that of a missing file

    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "stick/o.mbtiles", *DATE)
    assert result.code == JOB_FAILED
    assert result.out.startswith("4 stored")
    assert "stick/o.mbtiles was changed while it was read" in result.err


def test_a_dataset_that_is_forbidden_midway_hides_no_count(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", {(12, 100, 1420): picture(1), (12, 2177, 1420): picture(2)})
    words = ("--licence", "CC0-1.0", "--attribution", "Survey", "--may-be-stored-offline", "yes")
    assert call("datasets", "define", "o", *words, *DATE, "--source", "o.mbtiles").code == 0

    def provision(*arguments: Any, **terms: Any) -> None:
        def forbid(done: int) -> None:
            assert call("datasets", "amend", "o", "--may-be-stored-offline", "no").code == 0

        provision_tiles(*arguments, **terms | {"progress": forbid})

    monkeypatch.setattr("aerotile.domain.intake.mosaic_parts._PART_TILES", 1)
    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "o.mbtiles", "--dataset", "o")
    assert result.out.startswith("1 stored")
    assert "the dataset o may not be stored offline" in result.err
    assert result.code == JOB_FAILED
