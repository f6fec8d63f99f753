"""A file is replaced whole or not at all, whatever fails and whoever put what in its place."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.files.atomic_file import atomic_file, new_file

MODE = 0o640


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with an older content, alone in a folder."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file"
    path.write_bytes(b"old")
    return path


def write(path: Path | str, content: bytes = b"new", mode: int = MODE, **arguments: Any) -> None:
    with atomic_file(path, mode, **arguments) as file:
        file.write(content)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    earlier = os.umask(mask)
    try:
        yield
    finally:
        os.umask(earlier)


def fail(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let call `number` of a function of `os`, counted from 1, fail."""
    real, left = getattr(os, call), number

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments, **named)

    monkeypatch.setattr(os, call, failing)


def test_the_old_content_is_replaced_and_nothing_else_stays(path: Path) -> None:
    write(path)
    assert path.read_bytes() == b"new"
    assert names(path.parent) == {"file"}


@pytest.mark.parametrize(("call", "number"), [("open", 1), ("fsync", 1), ("rename", 1)])
def test_a_call_that_fails_leaves_the_old_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    fail(monkeypatch, call, number)
    with pytest.raises(OSError, match="Input/output error"):
        write(path)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == {"file"}


def test_a_body_that_fails_leaves_the_old_file_alone(path: Path) -> None:
    with pytest.raises(TypeError), atomic_file(path, MODE) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]  # what a body does wrong
    assert path.read_bytes() == b"old"
    assert names(path.parent) == {"file"}


def test_a_folder_that_can_not_be_synced_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "fsync", 2)
    with pytest.raises(OSError, match="Input/output error"):
        write(path)
    assert path.read_bytes() == b"new"


def test_a_new_file_whose_name_can_not_be_synced_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.unlink()
    fail(monkeypatch, "fsync", 2)
    with pytest.raises(OSError, match="Input/output error"):
        write(path, is_new=True)
    assert names(path.parent) == set()


def test_only_a_durable_file_waits_for_its_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    write(path, durable=False)
    assert synced == [False]
    write(path)
    assert synced == [False, False, True]


KILLED = """
import os, signal, sys
from aerotile.adapters.files.atomic_file import atomic_file

steps = int(sys.argv[2])

def kill_at_step(event, arguments):
    global steps
    if event in ("open", "os.remove", "os.rename") or event == "test.sync":
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sync = os.fsync
def audited_sync(descriptor):
    sys.audit("test.sync")
    sync(descriptor)
os.fsync = audited_sync
sys.addaudithook(kill_at_step)
with atomic_file(sys.argv[1], 0o640) as file:
    file.write(b"new")
"""


def test_a_writer_that_is_killed_at_any_step_leaves_the_old_file_or_the_new_one(path: Path) -> None:
    found: list[bytes] = []
    for step in range(20):
        path.write_bytes(b"old")
        process = subprocess.run([sys.executable, "-c", KILLED, str(path), str(step)], check=False)
        found.append(path.read_bytes())
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert found[0] == b"old"
    assert found[-2:] == [b"new", b"new"]
    assert set(found) == {b"old", b"new"}
    assert names(path.parent) == {"file"}


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(path: Path) -> None:
    precious = path.with_name("precious")
    path.rename(precious)
    path.symlink_to(precious)
    write(path)
    assert (path.read_bytes(), precious.read_bytes()) == (b"new", b"old")
    assert not path.is_symlink()


def test_a_link_in_the_place_of_the_temporary_is_removed_and_not_followed(path: Path) -> None:
    precious = path.with_name("precious")
    precious.write_bytes(b"keep me")
    path.with_name(".file.tmp").symlink_to(precious)
    write(path)
    assert (path.read_bytes(), precious.read_bytes()) == (b"new", b"keep me")
    assert names(path.parent) == {"file", "precious"}


def test_a_temporary_of_another_writer_is_refused_and_left_alone(path: Path) -> None:
    path.with_name("mine.tmp").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        write(path, temporary="mine.tmp")
    assert path.with_name("mine.tmp").read_bytes() == b"theirs"
    assert path.read_bytes() == b"old"


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write(path)
    assert names(path.parent) == {"file"}


@pytest.mark.parametrize(("ignore_umask", "expected"), [(False, 0o600), (True, 0o640)])
def test_a_umask_takes_rights_away_unless_it_is_ignored(
    path: Path, ignore_umask: bool, expected: int
) -> None:
    with umask(0o077):
        write(path, ignore_umask=ignore_umask)
    assert stat.S_IMODE(path.stat().st_mode) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_root_makes_belongs_to_the_owner_of_its_folder(path: Path) -> None:
    os.chown(path.parent, 65534, 65533)
    write(path)
    folder = os.open(path.parent, os.O_RDONLY)
    write("beside", dir_fd=folder)
    os.close(folder)
    for made in (path, path.with_name("beside")):
        assert (made.stat().st_uid, made.stat().st_gid) == (65534, 65533)


def test_a_file_is_replaced_in_an_open_folder_wherever_its_path_leads_by_now(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    moved = path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    try:
        write(path.name, dir_fd=folder)
    finally:
        os.close(folder)
    assert (moved / path.name).read_bytes() == b"new"
    assert names(moved) == {"file"}
    assert names(path.parent) == set()


def test_a_new_file_is_made_under_its_own_name_and_never_over_another(path: Path) -> None:
    with pytest.raises(FileExistsError), new_file(path, MODE):
        pass
    assert path.read_bytes() == b"old"
    with new_file(path.with_name("other"), 0o440) as file:
        file.write(b"new")
    assert path.with_name("other").read_bytes() == b"new"
    assert stat.S_IMODE(path.with_name("other").stat().st_mode) == 0o440


def test_a_new_file_that_can_not_be_synced_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "fsync", 1)
    with pytest.raises(OSError, match="Input/output error"), new_file(path.with_name("other"), MODE) as file:
        file.write(b"new")
    assert names(path.parent) == {"file"}


def test_a_second_writer_is_refused_and_the_first_publishes_its_own(path: Path) -> None:
    with atomic_file(path, MODE) as file:
        file.write(b"fir")
        with pytest.raises(OSError, match="another program is writing it") as refusal:
            write(path, b"second")
        file.write(b"st")
    assert (refusal.value.errno, refusal.value.filename) == (errno.EBUSY, str(path))
    assert path.read_bytes() == b"first"
    write(path, b"third")
    assert path.read_bytes() == b"third"
    assert names(path.parent) == {"file"}


def test_what_another_writer_made_meanwhile_is_not_replaced(path: Path) -> None:
    with pytest.raises(FileExistsError):
        write(path, is_new=True)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == {"file"}


def test_what_a_dead_writer_left_is_removed_over_nfs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, an exclusive lock takes a descriptor that is open for writing (flock(2))."""
    flock = fcntl.flock

    def flock_over_nfs(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_over_nfs)
    path.with_name(".file.tmp").write_bytes(b"half")
    write(path)
    assert path.read_bytes() == b"new"
    assert names(path.parent) == {"file"}


def test_a_disk_without_locks_is_refused_by_the_name_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available") as refusal:
        write(path)
    assert refusal.value.filename == str(path)
    assert names(path.parent) == {"file"}


def test_a_link_or_pipe_under_the_temporary_name_is_removed(path: Path) -> None:
    hidden = path.with_name(".file.tmp")
    hidden.symlink_to(path)
    write(path, b"one")
    assert path.read_bytes() == b"one"
    os.mkfifo(hidden)
    write(path, b"two")
    assert (path.read_bytes(), names(path.parent)) == (b"two", {"file"})
