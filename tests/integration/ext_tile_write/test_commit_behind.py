"""A COMMIT that a gated write sends behind the answer to its INSERT: when it is sent, and when it is not."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from gated_writes import TARGET, inject, names, needs_strace, run_python

from aerotile.ext import AwaitedInsert, GatedWrite, Libpq

INSERTED = b"C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05T"
REFUSED = b"E\0\0\0\x0dC23505\0\0\0\0Z\0\0\0\x05E"
VALUES = [b"1", None, b"3"]

_CALLS: dict[str, Callable[..., object]] = {
    "consume_input": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p),
    "send_query_prepared": ctypes.CFUNCTYPE(
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
        *3 * [ctypes.c_void_p],
    ),
    "send_query_params": ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, *5 * [ctypes.c_void_p]
    ),
    "pipeline_sync": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p),
}


@attrs.define
class ScriptedLibpq:
    """Functions in the place of libpq's that note their calls, and what lay in the folder then."""

    folder: Path
    failing: str = ""
    taking_from: socket.socket | None = None
    called: list[str] = attrs.Factory(list)
    sent: list[object] = attrs.Factory(list)
    seen: list[set[str]] = attrs.Factory(list)
    kept: list[object] = attrs.Factory(list)

    def functions(self) -> Libpq:
        addresses = []
        for name, made in _CALLS.items():
            self.kept.append(made(self._scripted(name)))
            addresses.append(ctypes.cast(self.kept[-1], ctypes.c_void_p).value or 0)  # type: ignore[arg-type]
        return Libpq(*addresses, get_copy_data=1, freemem=1)  # neither is called

    def _scripted(self, name: str) -> Callable[..., int]:
        def call(connection: int, *given: object) -> int:
            self.called.append(name)
            self.seen.append(names(self.folder))
            if name == "consume_input" and self.taking_from is not None:
                self.taking_from.recv(4096)
            if name == "send_query_prepared":
                query, count, values = given[:3]
                assert isinstance(count, int)
                self.sent += [connection, query, values[:count]]  # type: ignore[index]
            elif name == "send_query_params":
                self.sent.append(given[0])
            return int(name != self.failing)

        return call


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def prewritten(
    root: int, folder: Path, write: GatedWrite, ends: tuple[socket.socket, socket.socket]
) -> Callable[[ScriptedLibpq, bytes], AwaitedInsert]:
    def prewrite(libpq: ScriptedLibpq, answer: bytes) -> AwaitedInsert:
        ours, theirs = ends
        theirs.sendall(answer)
        awaited = AwaitedInsert(ours.fileno())
        awaited.commit_by(libpq.functions(), 77, b"counting", VALUES)
        write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, awaited, 600_000)
        return awaited

    return prewrite


Prewrite = Callable[[ScriptedLibpq, bytes], AwaitedInsert]


def test_the_commit_is_sent_once_the_file_is_in_place(folder: Path, prewritten: Prewrite) -> None:
    libpq = ScriptedLibpq(folder)
    awaited = prewritten(libpq, INSERTED)
    assert awaited.is_committing
    assert awaited.is_sent
    assert libpq.called == list(_CALLS)
    assert libpq.sent == [77, b"counting", VALUES, b"COMMIT"]
    assert libpq.seen == [{"5.jpg", "5.jpg.sha256"}] * 4


def test_the_answer_to_the_commit_is_not_waited_for(
    folder: Path, prewritten: Prewrite, ends: tuple[socket.socket, socket.socket]
) -> None:
    # The caller waits for the interpreter's lock meanwhile. The socket is empty then, and stays so.
    assert prewritten(ScriptedLibpq(folder, taking_from=ends[0]), INSERTED).is_sent


@pytest.mark.parametrize("answer", [REFUSED, INSERTED[:-1], b"x"], ids=["refused", "cut", "no answer"])
def test_no_commit_is_sent_behind_any_other_answer(folder: Path, prewritten: Prewrite, answer: bytes) -> None:
    libpq = ScriptedLibpq(folder)
    assert not prewritten(libpq, answer).is_committing
    assert libpq.called == []


def test_no_commit_is_sent_where_the_answer_can_not_be_taken(folder: Path, prewritten: Prewrite) -> None:
    libpq = ScriptedLibpq(folder, failing="consume_input")
    assert not prewritten(libpq, INSERTED).is_committing
    assert libpq.called == ["consume_input"]


@pytest.mark.parametrize("failing", list(_CALLS)[1:])
def test_a_commit_that_is_cut_short_is_told_from_none_and_from_a_whole_one(
    folder: Path, prewritten: Prewrite, failing: str
) -> None:
    libpq = ScriptedLibpq(folder, failing=failing)
    awaited = prewritten(libpq, INSERTED)
    assert awaited.is_committing
    assert not awaited.is_sent
    assert libpq.called[-1] == failing


def test_too_many_values_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="9 values, 8 at most"):
        AwaitedInsert(0).commit_by(ScriptedLibpq(folder).functions(), 1, b"counting", 9 * [b"1"])


def test_values_that_are_no_bytes_are_refused_and_nothing_is_sent_for_them(
    root: int, folder: Path, write: GatedWrite, ends: tuple[socket.socket, socket.socket]
) -> None:
    ends[1].sendall(INSERTED)
    libpq = ScriptedLibpq(folder)
    awaited = AwaitedInsert(ends[0].fileno())
    awaited.commit_by(libpq.functions(), 77, b"counting", VALUES)
    with pytest.raises(TypeError, match="bytes"):
        awaited.commit_by(libpq.functions(), 77, b"counting", [b"1", "2"])  # type: ignore[list-item] # is tested
    write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, awaited, 600_000)
    assert not awaited.is_committing
    assert libpq.called == []


def test_a_function_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no address"):
        Libpq(1, 2, 0, 4, 5, 6)


@needs_strace
@pytest.mark.parametrize(
    "fault", ["fsync:error=EIO:when=1", "fsync:error=EIO:when=2", "linkat:error=EPERM:when=2"]
)
def test_no_commit_is_sent_while_the_file_is_not_durable(folder: Path, fault: str) -> None:
    script = """
import ctypes, socket
from aerotile.ext import AwaitedInsert, Libpq
ours, theirs = socket.socketpair()
theirs.sendall(b"C\\0\\0\\0\\x0fINSERT 0 1\\0Z\\0\\0\\0\\x05T")
awaited = AwaitedInsert(ours.fileno())
called = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda connection: print("called"))
address = ctypes.cast(called, ctypes.c_void_p).value
awaited.commit_by(Libpq(*6 * [address]), 1, b"counting", [])
write.prewrite(root, target, os.stat(root).st_dev, 0, awaited, 600_000)
print(awaited.is_committing)
"""
    assert run_python(script, folder.parent, under=inject(fault)).split() == ["False"]
