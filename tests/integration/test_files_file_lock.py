"""Locks between processes: held by one object, released by the kernel, and never through a link."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aerotile.adapters.files.file_lock import FileLock, is_free, lock_open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


def test_one_holder_keeps_out_every_other(path: Path) -> None:
    lock, other = FileLock(path), FileLock(path)
    assert lock.try_acquire()
    assert lock.is_held
    assert not other.try_acquire()
    assert not other.is_held
    lock.release()
    assert not lock.is_held
    assert other.try_acquire()
    other.release()
    other.release()


def test_holders_that_share_keep_out_only_an_exclusive_one(path: Path) -> None:
    lock, other = FileLock(path), FileLock(path)
    assert lock.try_acquire(shared=True)
    assert other.try_acquire(shared=True)
    assert not is_free(path)
    lock.release()
    other.release()
    assert is_free(path)


def test_a_released_lock_is_free_although_a_copy_of_its_descriptor_lives(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    copy = os.dup(lock.descriptor)
    assert not is_free(path)
    lock.release()
    assert is_free(path)
    os.close(copy)


def test_a_closed_lock_is_held_as_long_as_an_heir_has_its_descriptor(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    heir = os.dup(lock.descriptor)
    lock.close()
    assert not is_free(path)
    os.close(heir)
    assert is_free(path)


def test_the_kernel_releases_the_lock_of_a_killed_process(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from aerotile.adapters.files.file_lock import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); assert lock.try_acquire()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not is_free(path)
        process.kill()
        process.wait()
        assert is_free(path)


def test_a_forked_child_does_not_hold_its_parents_lock(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    child = os.fork()
    if child == 0:
        os._exit(1 if lock.is_held else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not is_free(path)
    lock.release()


def test_a_missing_lock_file_is_created_only_when_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(FileNotFoundError):
        FileLock(path).try_acquire()
    lock = FileLock(path, create_mode=0o640)
    assert lock.try_acquire()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    lock.release()


@pytest.mark.parametrize("create_mode", [None, 0o640])
def test_a_link_a_pipe_and_a_folder_in_the_place_of_a_lock_are_refused(
    tmp_path: Path, path: Path, create_mode: int | None
) -> None:
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        lock = FileLock(tmp_path / name, create_mode=create_mode)
        with pytest.raises(OSError, match=r"symbolic link|directory|not a regular file"):
            lock.try_acquire()
        assert not lock.is_held
    assert is_free(path)


def test_an_open_folder_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert lock_open_file(first, wait=True)
    assert not lock_open_file(second)
    os.close(first)
    assert lock_open_file(second, wait=True)
    os.close(second)


def test_a_descriptor_is_not_given_by_a_lock_that_is_not_held(path: Path) -> None:
    with pytest.raises(ValueError, match="not held"):
        _ = FileLock(path).descriptor
