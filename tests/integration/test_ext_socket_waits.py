"""The compiled waits for sockets: what they wait for, and that other threads run meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from aerotile.ext import await_burst, await_readable, holds_whole_answer, is_readable

COMPLETE = b"C" + (4 + 6).to_bytes(4, "big") + b"BEGIN\0"
ROW = b"D" + (4 + 2).to_bytes(4, "big") + b"\0\0"
READY = b"Z" + (5).to_bytes(4, "big") + b"T"
# Within a row's value: what only looks like the end of an answer.
FALSE_READY = b"D" + (4 + len(READY)).to_bytes(4, "big") + READY


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (COMPLETE + ROW + READY, True),
        (READY, True),
        (COMPLETE + ROW, False),
        (COMPLETE + READY[:-1], False),
        (COMPLETE[:3], False),
        (COMPLETE + FALSE_READY, False),
        (COMPLETE + READY + COMPLETE, False),
        (b"\x17\x03\x03\x00\x13" + bytes(0x13), False),
        (b"D\xff\xff\xff\xff" + READY, False),
        (b"D\0\0\0\0" + READY, False),
        (b"D" + (4 + 5000).to_bytes(4, "big") + bytes(5000) + READY, False),
        (b"", False),
    ],
    ids=[
        "answer",
        "nothing but the end",
        "no end",
        "half an end",
        "half a message",
        "an end within a value",
        "more behind the end",
        "encrypted",
        "a length without end",
        "a length too short",
        "more than is looked at",
        "nothing",
    ],
)
def test_an_answer_is_whole_when_its_last_message_has_arrived(
    pair: tuple[socket.socket, socket.socket], sent: bytes, whole: bool
) -> None:
    ours, theirs = pair
    theirs.sendall(sent)
    assert holds_whole_answer(ours.fileno()) is whole
    assert is_readable(ours.fileno()) is bool(sent)
    if sent:
        assert ours.recv(len(sent)) == sent  # nothing was taken


def test_a_closed_end_can_be_read_and_is_no_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert is_readable(ours.fileno())
    assert await_readable(ours.fileno(), None)
    assert not holds_whole_answer(ours.fileno())


def test_a_wait_ends_with_its_time_and_at_once_where_something_lies(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    assert not await_readable(ours.fileno(), 0.0)
    assert not await_readable(ours.fileno(), 0.01)
    theirs.sendall(b"x")
    assert await_readable(ours.fileno(), 0.0)
    assert await_readable(ours.fileno(), None)


@pytest.mark.parametrize("wait", ["readable", "burst"])
def test_other_threads_run_during_a_wait(pair: tuple[socket.socket, socket.socket], wait: str) -> None:
    # The byte that ends the wait is sent by a thread that needs the interpreter for it.
    ours, theirs = pair
    alarm, bell = socket.socketpair()
    with alarm, bell:
        sender = threading.Thread(target=lambda: [theirs.sendall(b"x"), bell.sendall(b"x")])
        sender.start()
        if wait == "readable":
            assert await_readable(ours.fileno(), 60.0)
        else:
            assert await_burst(ours.fileno(), alarm.fileno(), 60_000)
        sender.join()


def test_a_burst_ends_with_its_time_or_with_the_alarm(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    alarm, bell = socket.socketpair()
    with alarm, bell:
        theirs.sendall(b"x")
        assert not await_burst(ours.fileno(), alarm.fileno(), 1)
        bell.sendall(b"x")
        assert await_burst(ours.fileno(), alarm.fileno(), 600_000)
        ours.recv(1)
        assert await_burst(ours.fileno(), alarm.fileno(), 600_000)


class Interrupted(Exception):  # noqa: N818 # it is no error
    """What the signal handler raises."""


@pytest.mark.parametrize("wait", ["readable", "burst"])
def test_a_signal_handler_ends_a_wait_by_what_it_raises(
    pair: tuple[socket.socket, socket.socket], wait: str
) -> None:
    ours, theirs = pair

    is_waiting = False

    def handler(number: int, frame: object) -> None:
        nonlocal is_waiting
        if is_waiting:  # once, and only within the wait
            is_waiting = False
            raise Interrupted

    def wait_interrupted() -> None:
        nonlocal is_waiting
        is_waiting = True
        if wait == "readable":
            await_readable(ours.fileno(), 600.0)
        else:
            await_burst(ours.fileno(), theirs.fileno(), 1)

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.get_ident()
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.05):
            signal.pthread_kill(main, signal.SIGUSR1)

    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        with pytest.raises(Interrupted):
            wait_interrupted()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        over.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_raises_nothing_does_not_end_a_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    heard: list[int] = []

    def handler(number: int, frame: object) -> None:
        heard.append(number)
        theirs.sendall(b"x")  # only what arrives ends the wait

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        assert await_readable(ours.fileno(), 600.0)
        assert heard
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_what_is_no_socket_holds_no_answer() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    try:
        assert is_readable(read_end)
        assert not holds_whole_answer(read_end)
    finally:
        os.close(read_end)
