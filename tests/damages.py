"""What can happen to a file behind its owner's back, each as a function of its path; all for real."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

Act = Callable[[Path], None]

# PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: from the next program on they are gone.
_OBEY_FILE_MODES = """
import ctypes, os, sys
if os.geteuid() == 0:
    library = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):
        if library.prctl(24, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "this process keeps its power over file modes")
os.execv(sys.argv[1], sys.argv[1:])
"""


@attrs.frozen
class Damage:
    """One thing that happens to a file."""

    name: str
    act: Act

    def __str__(self) -> str:
        return self.name


def rewrite(path: Path, content: bytes) -> None:
    """Another file of the same name; whoever has the old one open keeps it."""
    path.unlink()
    path.write_bytes(content)


def flip(place: int, bit: int = 0) -> Damage:
    """One bit of the byte at `place`; negative from the end."""

    def act(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1 << bit
        rewrite(path, bytes(content))

    return Damage(f"bit {bit} of byte {place}", act)


def truncated(length: int) -> Damage:
    """Cut to `length` bytes; negative: so many less."""
    return Damage(f"cut to {length}", lambda path: rewrite(path, path.read_bytes()[:length]))


def appended(more: bytes) -> Damage:
    """Something behind the end."""
    return Damage(f"{len(more)} bytes more", lambda path: rewrite(path, path.read_bytes() + more))


def of_content(length: int, chance: random.Random, *, each: int = 4) -> Iterator[Damage]:
    """Flips, cuts and more behind the end, for a file of `length` bytes; each kind `each` times at random."""
    yield from (flip(0), flip(-1), truncated(-1), truncated(1), appended(b"\0"), appended(b"more\n"))
    for _ in range(each):
        yield flip(chance.randrange(length), chance.randrange(8))
        yield truncated(chance.randrange(length))


def _replaced_by(make: Act) -> Act:
    def act(path: Path) -> None:
        remove(path)
        make(path)

    return act


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "kept").write_text("somebody's")


def _socket(path: Path) -> None:
    # The path of a socket has little room; a folder's descriptor is a short way to it.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _linked_to(target: str) -> Act:
    return _replaced_by(lambda path: path.symlink_to(target))


def _linked_to_own_copy(path: Path) -> None:
    """A good copy of the file lies outside, and a link leads there."""
    elsewhere = path.with_name(f"{path.name}.elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _linked_to_pipe(path: Path) -> None:
    pipe = path.with_name(f"{path.name}.pipe")
    os.mkfifo(pipe)
    _linked_to(str(pipe))(path)


def _endless_device(path: Path) -> None:
    os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero


def remove(path: Path) -> None:
    """Take away whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


REMOVED = Damage("removed", remove)
EMPTIED = Damage("emptied", lambda path: rewrite(path, b""))
PIPE = Damage("pipe", _replaced_by(os.mkfifo))
LINK_TO_COPY = Damage("link to a good copy", _linked_to_own_copy)

LINKS = [
    LINK_TO_COPY,
    Damage("link to /dev/zero", _linked_to("/dev/zero")),
    Damage("link to a pipe", _linked_to_pipe),
    Damage("link to a foreign file", _linked_to("/etc/passwd")),
    Damage("link to nothing", _linked_to("/nowhere/at/all")),
    Damage("link to itself", _replaced_by(lambda path: path.symlink_to(path.name))),
]
NO_FILES = [
    Damage("folder", _replaced_by(Path.mkdir)),
    Damage("full folder", _replaced_by(_full_folder)),
    PIPE,
    Damage("socket", _replaced_by(_socket)),
]
if os.geteuid() == 0:
    NO_FILES.append(Damage("endless device", _replaced_by(_endless_device)))
REPLACEMENTS = [*LINKS, *NO_FILES]


def obeying_file_modes(command: Sequence[str]) -> list[str]:
    """The command for a process that may not read what a mode forbids, as root may and nobody else."""
    return [sys.executable, "-c", _OBEY_FILE_MODES, *command]
