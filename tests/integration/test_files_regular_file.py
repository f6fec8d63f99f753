"""Only regular files are opened, none through a link, and no more is read than was expected."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from open_descriptors import leaving_none_open

from aerotile.adapters.files.regular_file import open_regular, read_regular


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "it is not a regular file"),
        (make_socket, "it is not a regular file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("/etc/hostname"), "it is a symbolic link"),
        (lambda path: path.symlink_to("/dev/null"), "it is a symbolic link"),
    ],
    ids=["FIFO", "socket", "folder", "link", "link to a device"],
)
@pytest.mark.timeout(20)
def test_nothing_but_a_regular_file_is_opened(
    tmp_path: Path, make: Callable[[Path], object], reason: str, flags: int
) -> None:
    make(tmp_path / "thing")
    with leaving_none_open(), pytest.raises(OSError, match=reason) as refused:
        open_regular(tmp_path / "thing", flags)
    assert str(tmp_path / "thing") in str(refused.value)


def test_a_link_is_followed_only_when_the_caller_allows_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 7, follow=True) == b"content"
    with pytest.raises(OSError, match="symbolic link"):
        read_regular(tmp_path / "link", 7)


@pytest.mark.timeout(20)
def test_a_link_that_may_be_followed_leads_to_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "link", 7, follow=True)


def test_a_file_of_the_longest_length_is_read_and_a_longer_one_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    assert len(read_regular(tmp_path / "file", 1_000_000)) == 1_000_000
    with pytest.raises(OSError, match="it is larger than 999999 bytes"):
        read_regular(tmp_path / "file", 999_999)


def test_a_file_is_read_below_an_open_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert read_regular("file", 7, dir_fd=folder) == b"content"
    finally:
        os.close(folder)


def test_a_file_is_created_with_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    os.close(open_regular(tmp_path / "file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o640))
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
