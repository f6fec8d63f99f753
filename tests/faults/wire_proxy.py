"""A line to PostgreSQL that knows where the messages on it begin and end, and can be cut at each of them."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

import attrs
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from random_seed import random_of

CUTS = os.environ.get("TEST_DATABASE_CUTS", "8")
CANCEL_REQUEST = 80877102
"""What a connection that only cancels another's statement begins with, in place of a protocol version."""
NO_LINGER = struct.pack("ii", 1, 0)
"""Closing a socket so set sends a reset."""


class Sender(Enum):
    """Who sends a message."""

    CLIENT = "client"
    SERVER = "server"


class Cut(Enum):
    """What becomes of the line, and of the message at which it is cut."""

    RESET = "both ends are reset in place of the message"
    CLOSED = "both ends are closed in order in place of the message"
    WITHIN = "half of the message passes, then both ends are reset"
    HALF_CLOSED = "the client reads the end of the line, the server hears nothing at all"
    SILENT = "nothing passes any more, and nobody is told"


@attrs.frozen
class CutAt:
    """The message, counted from the moment that the proxy was told, at which the line is cut."""

    sender: Sender
    number: int
    how: Cut


def cuts_of(heard: list[tuple[Sender, str]], kind: str, *, silent: bool = True) -> list[CutAt]:
    """Every cut that there is at the messages of a dry run, or as many as TEST_DATABASE_CUTS says."""
    counted = {sender: sum(1 for s, _ in heard if s is sender) for sender in Sender}
    cuts = [CutAt(s, number, how) for s in Sender for number in range(counted[s]) for how in Cut]
    quiet = [cut for cut in cuts if cut.how is Cut.SILENT] if silent else []
    others = [cut for cut in cuts if cut.how is not Cut.SILENT]
    if CUTS == "all":
        return others + quiet
    chance = random_of(kind)
    # Few of those at which each takes as long as the product is patient.
    return chance.sample(quiet, min(1, len(quiet))) + chance.sample(others, min(int(CUTS) - 1, len(others)))


def answers_to_commit(heard: list[tuple[Sender, str]]) -> list[CutAt]:
    """Cuts that keep the server's word that it committed from the client."""
    said = [kind for sender, kind in heard if sender is Sender.SERVER]
    return [CutAt(Sender.SERVER, number, Cut.RESET) for number, kind in enumerate(said) if kind == "CCOMMIT"]


@attrs.define(eq=False)
class _End:
    """One end of a line: a socket, and what it sent that is not a whole message yet."""

    sender: Sender
    socket: socket.socket
    session: _Session = attrs.field(init=False, repr=False)
    received: bytes = b""
    expects_startup: bool = False

    def messages(self) -> list[tuple[str, bytes]]:
        """Take the whole messages out of what was received."""
        whole = []
        while True:
            at = 0 if self.expects_startup else 1
            if len(self.received) < at + 4:
                return whole
            length = at + int.from_bytes(self.received[at : at + 4], "big")
            if len(self.received) < length:
                return whole
            message, self.received = self.received[:length], self.received[length:]
            if self.expects_startup:
                self.expects_startup = False
                whole.append(("startup", message))
            else:
                whole.append((chr(message[0]), message))


@attrs.define(eq=False)
class _Session:
    client: _End
    server: _End
    is_cut: bool = False

    def other(self, end: _End) -> _End:
        return self.server if end is self.client else self.client


class WireProxy:
    """Passes connections on to a server. One thread of its own does everything but the counting of tests."""

    def __init__(self, dsn: str) -> None:
        self._server = conninfo_to_dict(dsn)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._bell, self._alarm = socket.socketpair()
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._sessions: set[_Session] = set()
        self._lock = threading.Lock()
        self._cut_at: CutAt | None = None
        self._then_gone = False
        self._counted = {Sender.CLIENT: 0, Sender.SERVER: 0}
        self._closing = False
        self._to_end: Callable[[_Session], bool] | None = None
        self._is_gone = False
        self.heard: list[tuple[Sender, str]] = []
        """The messages since the proxy was last told where to cut: who sent it, its type, what was done."""
        self.has_cut = threading.Event()
        self._ended = threading.Event()
        self.dsn = make_conninfo(
            dsn,
            host="127.0.0.1",
            port=self._listening.getsockname()[1],
            sslmode="disable",
            gssencmode="disable",
        )
        self._thread = threading.Thread(target=self._run, name="wire-proxy", daemon=True)
        self._thread.start()

    def cut(self, at: CutAt | None, *, then_gone: bool = False) -> None:
        """Count messages from now on, and cut at this one; `then_gone`: take no connections after it."""
        with self._lock:
            self._cut_at, self._then_gone = at, then_gone
            self._counted = {Sender.CLIENT: 0, Sender.SERVER: 0}
            self.heard.clear()
            self.has_cut.clear()

    def heal(self) -> None:
        """Cut nothing more, take connections again, and tell the server the end of what was cut."""
        with self._lock:
            self._cut_at = None
            self._is_gone = False
        self._end_those(lambda session: session.is_cut)

    def end_all(self) -> None:
        """End every connection; new ones are taken."""
        self._end_those(lambda _: True)

    def _end_those(self, to_end: Callable[[_Session], bool]) -> None:
        self._ended.clear()
        self._to_end = to_end
        self._bell.send(b"\0")
        self._ended.wait()

    def close(self) -> None:
        self._closing = True
        self._bell.send(b"\0")
        self._thread.join()
        for left in (self._listening, self._bell, self._alarm):
            left.close()

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    self._accept()
                elif key.fileobj is self._alarm:
                    self._alarm.recv(4096)
                else:
                    self._pass_on(key.data)
            if self._to_end is not None:
                for session in list(filter(self._to_end, self._sessions)):
                    self._end(session)
                self._to_end = None
                self._ended.set()
        for session in list(self._sessions):
            self._end(session)
        self._selector.close()

    def _accept(self) -> None:
        accepted, _ = self._listening.accept()
        if self._is_gone:
            _reset(accepted)
            return
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server = self._connect()
        except OSError:
            _reset(accepted)
            return
        session = _Session(_End(Sender.CLIENT, accepted, expects_startup=True), _End(Sender.SERVER, server))
        self._sessions.add(session)
        for end in (session.client, session.server):
            end.session = session
            self._selector.register(end.socket, selectors.EVENT_READ, end)

    def _connect(self) -> socket.socket:
        host, port = str(self._server["host"]), int(self._server.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(host) / f".s.PGSQL.{port}"))
        return server

    def _pass_on(self, end: _End) -> None:
        session = end.session
        if session not in self._sessions:
            return
        try:
            received = end.socket.recv(65536)
        except OSError:
            received = b""
        if session.is_cut:
            # Only a client that has given up is noticed; the server is told when the line is healed.
            if not received:
                self._selector.unregister(end.socket)
            return
        if not received:
            self._end(session)
            return
        end.received += received
        target = session.other(end).socket
        # What came together goes on together: a store that finds a whole answer goes another way.
        passing = bytearray()
        with suppress(OSError):
            for kind, message in end.messages():
                how = self._count(end.sender, kind, message)
                if how is not None:
                    target.sendall(passing)
                    self._cut_line(session, end, message, how)
                    return
                passing += message
            target.sendall(passing)

    def _count(self, sender: Sender, kind: str, message: bytes) -> Cut | None:
        if kind == "startup" and int.from_bytes(message[4:8], "big") == CANCEL_REQUEST:
            return None
        with self._lock:
            number = self._counted[sender]
            self._counted[sender] = number + 1
            done = message[5:-1].decode() if (sender, kind) == (Sender.SERVER, "C") else ""
            self.heard.append((sender, f"{kind}{done}"))
            at = self._cut_at
            if at is None or (at.sender, at.number) != (sender, number):
                return None
            self._cut_at = None
            self._is_gone = self._then_gone
            return at.how

    def _cut_line(self, session: _Session, end: _End, message: bytes, how: Cut) -> None:
        session.is_cut = True
        self.has_cut.set()
        if how is Cut.WITHIN:
            with suppress(OSError):
                session.other(end).socket.sendall(message[: max(1, len(message) // 2)])
        if how is Cut.HALF_CLOSED:
            with suppress(OSError):
                session.client.socket.shutdown(socket.SHUT_WR)
        elif how is Cut.CLOSED:
            self._end(session)
        elif how is not Cut.SILENT:
            self._end(session, reset=True)

    def _end(self, session: _Session, *, reset: bool = False) -> None:
        self._sessions.discard(session)
        for end in (session.client, session.server):
            with suppress(KeyError):
                self._selector.unregister(end.socket)
        if reset:
            _reset(session.client.socket)
        else:
            session.client.socket.close()
        session.server.socket.close()


def _reset(client: socket.socket) -> None:
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    client.close()
