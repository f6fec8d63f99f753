"""The program as a process of its own, with its own embedded database."""

from __future__ import annotations

import errno
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call

from aerotile.adapters.cli.errors import describe

Run = Callable[..., Any]
Spawn = Callable[..., "subprocess.Popen[str]"]
DaysAgo = Callable[[int], str]


def test_a_mission_is_prepared_without_any_configuration(
    run_process: Run, xyz_folder: Callable[..., Path], days_ago: DaysAgo, tmp_path: Path
) -> None:
    xyz_folder()
    assert run_process("migrate").code == 0
    assert run_process("ingest", "tiles", "--captured-at", days_ago(1), "--json").json["stored"] == 4
    assert run_process("verify").code == 0
    assert (tmp_path / "aerotile-data/postgres").is_dir()
    assert run_process("status", "--json").json["tiles"]["count"] == 4


def test_ctrl_c_ends_an_ingest_with_its_counts_and_a_second_run_completes_it(
    run_process: Run,
    spawn: Spawn,
    xyz_folder: Callable[..., Path],
    days_ago: DaysAgo,
    migrated_database: str,
) -> None:
    import psycopg

    xyz_folder(count=6)
    arguments = ["ingest", "tiles", "--captured-at", days_ago(1), "--batch-size", "2", "--root", "data"]
    with (
        psycopg.connect(migrated_database) as holder,
        psycopg.connect(migrated_database, autocommit=True) as observer,
    ):
        holder.execute("LOCK TABLE tiles IN EXCLUSIVE MODE")
        # The batch under way ends by its answer, or by the statement's timeout.
        process = spawn(
            *arguments, AEROTILE_DATABASE_DSN=migrated_database, AEROTILE_DATABASE_STATEMENT_TIMEOUT_S="5"
        )
        while not observer.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    counted, ended = err.splitlines()
    assert (process.returncode, ended) == (130, "interrupted")
    assert counted.startswith(
        "0 stored (0 of them downgraded), 0 already present, 0 refused, beside the batches"
    )
    assert out.startswith(
        "6 tiles found: 0 stored (0 of them downgraded), 0 already present, 0 refused, 6 left;"
    )
    again = run_process(*arguments, "--json", AEROTILE_DATABASE_DSN=migrated_database)
    assert again.json["stored"] == 6
    assert run_process("verify", "--root", "data", AEROTILE_DATABASE_DSN=migrated_database).code == 0


def test_a_reader_that_goes_away_ends_the_program_quietly(
    call: Call, spawn: Spawn, xyz_folder: Callable[..., Path], days_ago: DaysAgo, migrated_database: str
) -> None:
    xyz_folder(count=100)
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    process = spawn("dump", AEROTILE_DATABASE_DSN=migrated_database)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


SHOWING = (
    "status",
    "status --json",
    "dump",
    "dump --csv",
    "sectors list",
    "datasets list",
    "uploads",
    "verify",
    "record",
    "pin --list",
    "pin imported/7/60/0",
    "explain 84 -10 2024-05-01 --zoom 7",
    "export tiles.mbtiles",
    "index generations",
    "base list",
    "base seal",
    "base keygen 1.key",
    "recall list",
    "migrate",
)


def test_a_result_that_no_output_takes_is_a_failure_of_every_command(
    call: Call, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filled.parents[2] / "index").mkdir()
    named = "error: can't write to standard output: No space left on device"
    ends = {}
    for arguments in SHOWING:
        with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            result = call(*arguments.split())
        ends[arguments] = (result.code, result.err.splitlines()[-1:])
    assert ends == dict.fromkeys(SHOWING, (1, [named]))


@pytest.mark.parametrize(
    ("closed", "shown", "told"),
    [
        ("2>&-", 0, ""),
        (">&-", 1, "error: can't write to standard output: Bad file descriptor\n"),
        ("<&- >&- 2>&-", 1, ""),
    ],
    ids=["messages", "output", "all"],
)
def test_closed_standard_streams_change_no_store_and_a_result_that_is_lost_is_a_failure(
    call: Call,
    spawn_environment: dict[str, str],
    xyz_folder: Callable[..., Path],
    days_ago: DaysAgo,
    tmp_path: Path,
    migrated_database: str,
    closed: str,
    shown: int,
    told: str,
) -> None:
    xyz_folder()
    environment = spawn_environment | {"AEROTILE_DATABASE_DSN": migrated_database}
    for arguments, code, ending in (
        (["ingest", "tiles", "--captured-at", days_ago(1), "-vv"], shown, told),
        (["verify"], shown, told),
        (["delete", "imported/1/0/0"], 1, ""),
    ):
        program = [sys.executable, "-m", "aerotile.adapters.cli", *arguments]
        process = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (process.returncode, process.stderr.endswith(ending)) == (code, True)
        # What belongs on a closed standard error must not turn up on standard output.
        assert "error" not in process.stdout
    findings = call("verify", "--json").json
    assert findings == {"tiles": 4, "findings": [], "fetch_again": [], "index": [], "index_agreement": None}


def test_a_folder_without_a_store_is_refused_and_stays_empty(
    call: Call, run_process: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    (tmp_path / "elsewhere").mkdir()
    for command in (
        ["verify"],
        ["dump"],
        ["explain", "0", "0", "2024-05-01", "--zoom", "12"],
        ["sectors", "list"],
        ["delete", "imported/1/0/0"],
        ["uploads"],
        ["index", "info"],
        ["record"],
    ):
        result = call("--root", "elsewhere", *command)
        assert result.code == 2
        assert result.error.startswith(f"no store in {tmp_path / 'elsewhere'} — ")
        assert result.error.endswith("aerotile migrate")
    assert run_process("--root", "elsewhere", "status").code == 2
    assert not list((tmp_path / "elsewhere").iterdir())


def test_follow_shows_what_is_recorded_from_then_on(
    run_process: Run,
    spawn: Spawn,
    xyz_folder: Callable[..., Path],
    days_ago: DaysAgo,
    migrated_database: str,
) -> None:
    database = {"AEROTILE_DATABASE_DSN": migrated_database}
    xyz_folder("first", x=1, count=1)
    xyz_folder("second", x=2, count=1)
    run_process("ingest", "first", "--captured-at", days_ago(1), **database)
    follower = spawn("record", "--follow", **database)
    assert follower.stdout is not None
    assert "imported/7/1/0" in follower.stdout.readline()
    run_process("ingest", "second", "--captured-at", days_ago(1), **database)
    assert "imported/7/2/0" in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (130, "interrupted\n")


def test_a_terminal_is_shown_a_progress_bar(
    spawn_environment: dict[str, str],
    xyz_folder: Callable[..., Path],
    days_ago: DaysAgo,
    tmp_path: Path,
    migrated_database: str,
) -> None:
    xyz_folder()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "aerotile.adapters.cli", "ingest", "tiles", "--captured-at", days_ago(1)],
        cwd=tmp_path,
        env=spawn_environment | {"TERM": "xterm", "AEROTILE_DATABASE_DSN": migrated_database},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
    )
    os.close(follower)
    drawn = b""
    try:
        while chunk := os.read(leader, 65_536):
            drawn += chunk
    except OSError:  # the other end of a terminal is gone
        pass
    os.close(leader)
    out, _ = process.communicate(timeout=60)
    assert b"tiles" in drawn
    assert b"4/4" in drawn
    assert out.startswith("4 tiles found: 4 stored")


def test_debug_shows_the_traceback_and_nothing_else_does(run_process: Run) -> None:
    quiet, loud = run_process("status"), run_process("status", "--debug")
    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err
    assert loud.err.endswith(quiet.err)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "no memory or no thread is left"),
        (
            ImportError("libfaiss.so: failed to map segment from shared object"),
            "no memory or no thread is left: libfaiss.so: failed to map segment from shared object",
        ),
        (RuntimeError("can't start new thread"), "no memory or no thread is left: can't start new thread"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "Cannot allocate memory"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_for_want_of_memory_is_no_defect_of_the_program(error: Exception, message: str) -> None:
    told, remedy, code = describe(error)
    assert (told, code) == (message, 1)
    assert "ulimit -v" in (remedy or "")


def test_a_library_that_may_not_be_mapped_is_not_told_as_want_of_memory() -> None:
    forbidden = ImportError("libfaiss.so: failed to map segment from shared object: Operation not permitted")
    assert describe(forbidden)[0].startswith("unexpected ImportError: libfaiss.so: ")
