"""Gated writes in a batch, and the steps of a write that a batch takes apart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from gated_writes import DIGEST, PIXELS, TARGET, inject, names, needs_strace, run_python

from aerotile.ext import (
    GatedWrite,
    add_sidecars,
    rename_all,
    sync_file_system,
    write_temporaries,
)


@pytest.mark.parametrize("unnamed", [False, True])
def test_the_steps_of_a_batch_make_what_a_single_write_makes(
    root: int, folder: Path, write: GatedWrite, unnamed: bool
) -> None:
    assert write_temporaries(root, [write], [TARGET]) == [None]
    assert names(folder) == {".5.jpg.1.tmp"}
    sync_file_system(root)
    assert rename_all(root, [write]) == [None]
    assert names(folder) == {"5.jpg"}
    assert add_sidecars(root, [write], unnamed=unnamed) == [None]
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    assert (folder / "5.jpg.sha256").read_bytes() == TARGET[5]
    assert (folder / "5.jpg.sha256").stat().st_mode & 0o7777 == 0o440


@pytest.mark.parametrize("unnamed", [False, True])
def test_a_sidecar_takes_the_place_of_an_orphan(
    root: int, folder: Path, write: GatedWrite, unnamed: bool
) -> None:
    (folder / "5.jpg.sha256").write_bytes(b"of a tile that is gone")
    write_temporaries(root, [write], [TARGET])
    rename_all(root, [write])
    assert add_sidecars(root, [write], unnamed=unnamed) == [None]
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    assert (folder / "5.jpg.sha256").read_bytes() == TARGET[5]


@needs_strace
@pytest.mark.parametrize("fault", ["linkat:error=EPERM", "write:error=ENOSPC:when=2"])
def test_a_sidecar_without_a_name_that_fails_takes_its_tile_with_it(folder: Path, fault: str) -> None:
    script = """
write_temporaries(root, [write], [target])
print(rename_all(root, [write]), add_sidecars(root, [write], unnamed=True), write.has_temporaries)
"""
    printed = run_python(script, folder.parent, under=inject(fault))
    assert printed.startswith(("[None] [OSError(", "[None] [PermissionError(")), printed
    assert names(folder) == set()


def test_withdrawing_between_the_halves_removes_the_temporaries(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write_temporaries(root, [write], [TARGET])
    write.withdraw(root)
    assert names(folder) == set()


def test_withdrawing_removes_only_what_is_still_its_own(root: int, folder: Path, write: GatedWrite) -> None:
    write.place(root, TARGET)
    (folder / "5.jpg").rename(folder / "kept")  # the inode lives on, so its number is not given out again
    (folder / "5.jpg").write_bytes(PIXELS)
    same_time = (folder / "kept").stat().st_mtime_ns
    os.utime(folder / "5.jpg", ns=(same_time, same_time))
    write.withdraw(root)
    assert names(folder) == {"5.jpg", "kept"}


def test_withdrawing_leaves_a_new_file_alone_that_was_given_the_old_inode_number(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    inode = (folder / "5.jpg").stat().st_ino
    (folder / "5.jpg").unlink()
    for number in range(2000):
        candidate = folder / str(number)
        candidate.write_bytes(b"another writer's")
        if candidate.stat().st_ino == inode:
            break
    else:
        pytest.skip("this file system does not give inode numbers out again soon")
    candidate.rename(folder / "5.jpg")
    write.withdraw(root)
    assert (folder / "5.jpg").read_bytes() == b"another writer's"


def test_withdrawing_from_a_folder_that_is_gone_does_nothing(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    shutil.rmtree(folder)
    write.withdraw(root)


def test_steps_out_of_order_are_refused(root: int, write: GatedWrite) -> None:
    with pytest.raises(RuntimeError, match="nothing was written"):
        rename_all(root, [write])
    with pytest.raises(RuntimeError, match="nothing was written"):
        add_sidecars(root, [write], unnamed=False)
    write.place(root, TARGET)
    with pytest.raises(RuntimeError, match="nothing was written"):
        add_sidecars(root, [write], unnamed=False)
    with pytest.raises(RuntimeError):
        write.place(root, TARGET)


def batch_of(count: int) -> tuple[list[GatedWrite], list[tuple[str, str, str, str, str, bytes]]]:
    writes = [GatedWrite(PIXELS, DIGEST, len(PIXELS), 256) for _ in range(count)]
    targets = [
        ("x" if y % 2 else "z", f"{y}.jpg", f".{y}.tmp", f"{y}.jpg.sha256", f".{y}s.tmp", TARGET[5])
        for y in range(count)
    ]
    return writes, targets


@pytest.mark.parametrize("unnamed", [False, True])
def test_in_a_batch_a_write_that_fails_keeps_none_of_the_others(
    root: int, folder: Path, unnamed: bool
) -> None:
    writes, targets = batch_of(6)  # every other one in a folder that is not there
    errors = write_temporaries(root, writes, targets)
    assert [isinstance(error, FileNotFoundError) for error in errors] == [True, False] * 3
    assert names(folder) == {f".{y}.tmp" for y in (1, 3, 5)}
    (folder / ".3.tmp").unlink()
    renamed = rename_all(root, [writes[1], writes[3], writes[5]])
    assert [error is None for error in renamed] == [True, False, True]
    assert names(folder) == {"1.jpg", "5.jpg"}
    (folder / "5.jpg.sha256").mkdir()
    added = add_sidecars(root, [writes[1], writes[5]], unnamed=unnamed)
    assert [error is None for error in added] == [True, False]
    assert names(folder) == {"1.jpg", "1.jpg.sha256", "5.jpg.sha256"}
    assert (folder / "1.jpg.sha256").read_bytes() == TARGET[5]


def test_a_batch_of_nothing_does_nothing(root: int) -> None:
    assert write_temporaries(root, [], []) == []
    assert rename_all(root, []) == []
    assert add_sidecars(root, [], unnamed=True) == []


def test_a_misused_batch_is_refused_and_its_writes_stay_usable(root: int, folder: Path) -> None:
    (folder.parent / "z").mkdir()
    writes, targets = batch_of(2)
    with pytest.raises(ValueError, match="2 writes, 1 targets"):
        write_temporaries(root, writes, targets[:1])
    with pytest.raises(TypeError):
        write_temporaries(root, [writes[0], "no write"], targets)  # type: ignore[list-item]  # what is refused
    with pytest.raises(RuntimeError, match="in the middle"):
        write_temporaries(root, [writes[0], writes[0]], targets)
    with pytest.raises(TypeError):
        write_temporaries(root, writes, None)  # type: ignore[arg-type]  # what is refused
    assert names(folder) == names(folder.parent / "z") == set()
    assert write_temporaries(root, writes, targets) == [None, None]


@needs_strace
def test_a_failing_rename_of_the_second_half_leaves_nothing_behind(folder: Path) -> None:
    script = """
write_temporaries(root, [write], [target])
print(rename_all(root, [write]), add_sidecars(root, [write], unnamed=False))
"""
    printed = run_python(script, folder.parent, under=inject("renameat,renameat2:error=EIO:when=2"))
    assert printed.startswith("[None]")
    assert "(rename)" in printed
    assert names(folder) == set()


@needs_strace
def test_a_failing_sync_of_the_file_system_is_an_os_error(folder: Path) -> None:
    script = """
try:
    sync_file_system(root)
except OSError as error:
    print(error)
"""
    assert "(syncfs)" in run_python(script, folder.parent, under=inject("syncfs:error=EIO:when=1"))
