"""The commits of other processes, as notices of the database on a connection that does nothing else.

Between two processes on one machine a notice takes about a millisecond. Notices that were sent while the
connection was lost are lost too: the catalogue is reloaded when the connection is back.
"""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from uuid import UUID

import psycopg

from ...domain.errors import AerotileError, StoreUnavailableError
from ...domain.ports.tile_catalogue import TileChangeListener
from ...domain.values.tile_changes import ChangeKind, TileChange
from ...domain.values.tiles import TileId, TileSource
from ...ext import await_burst
from ..own_process import OwnProcess
from .address import Connection
from .connection import Database
from .errors import describe, translate_errors

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
"""The pauses between attempts to reconnect double from the first value to the last."""
BURST_MS = 1
"""How long notices are collected, so that commits in quick succession are applied together."""
OWN_BURST_MS = 20
"""The same while the last notices were of this process's own sessions: their changes are in the catalogue,
and a thread that wakes for each would take the interpreter's lock from the next write."""
CLOSE_WAIT_S = 1.0
"""How long `close` waits for a thread that is connecting to a server that does not answer."""

# A server may end idle sessions, and this session is always idle.
_LISTEN = ("SELECT set_config('idle_session_timeout', '0', false)", "LISTEN aerotile_tiles")

_log = logging.getLogger("aerotile.feed")


class TileFeed:
    """Tells one listener of every commit, its own process's too, on a thread of its own.

    Listens from its construction on, so that a catalogue that is loaded later misses no commit. When the
    connection is lost, the feed reconnects and has the listener reload. No transaction is ever open on the
    connection. A forked child must make its own feed.
    """

    def __init__(self, database: Database) -> None:
        """Raises `StoreUnavailableError`."""
        self._database = database
        self._process = OwnProcess()
        self._received: list[str] = []
        self._connection: Connection | None = self._listening()
        self._closing = threading.Event()
        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell.setblocking(False)
        self._thread: threading.Thread | None = None

    @property
    def is_following(self) -> bool:
        """Whether commits of other processes arrive, as far as this process knows; yes once it is closed."""
        return self._connection is not None or self._closing.is_set()

    def follow(self, listener: TileChangeListener) -> None:
        """Start telling `listener`, which has loaded its catalogue since this feed was made."""
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="aerotile-tile-feed", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Have the listener called soon, even without a notice; returns immediately."""
        if not self._process.is_current:
            return
        with suppress(OSError):  # the feed is closed, or a wake-up is pending already
            self._bell.send(b"\0")

    def close(self) -> None:
        """Stop, within about a second whatever the server does; a second call does nothing."""
        if not self._process.is_current:
            return  # the connection belongs to the parent process
        self._closing.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT_S)
        else:
            self._end()

    def _run(self, listener: TileChangeListener) -> None:
        missed, pause_s = False, FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                if self._connection is None:
                    missed = True
                    self._connection = self._listening()
                if missed:
                    listener.reload()
                    missed = False
                    _log.info("tiles of other processes are followed again")
                pause_s = FIRST_PAUSE_S
                self._tell(listener, self._connection)
            except psycopg.Error as error:
                self._lose(describe(error))
            except StoreUnavailableError as error:
                _log.debug("tiles of other processes wait for the database: %s", error.explained)
            except AerotileError as error:
                _log.error("the catalogue could not follow the database: %s", error.explained)
            except Exception:  # noqa: BLE001 # a feed that ended would leave the catalogue stale for good
                if not self._closing.is_set():
                    _log.exception("the catalogue could not follow the database")
                    self._lose("see the error above")
            self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        self._end()

    def _tell(self, listener: TileChangeListener, connection: Connection) -> None:
        """Tell the listener of each notice until the feed is closed. Raises `psycopg.Error`."""
        burst_ms = BURST_MS
        while not self._closing.is_set():
            received, self._received = self._received, []
            listener.apply_changes([change for payload in received for change in read_notice(payload)])
            if await_burst(connection.fileno(), self._alarm.fileno(), burst_ms):
                self._alarm.recv(4096)
            connection.pgconn.consume_input()
            senders = set()
            while (notice := connection.pgconn.notifies()) is not None:
                self._received.append(notice.extra.decode("utf-8", "replace"))
                senders.add(notice.be_pid)
            if senders:
                burst_ms = OWN_BURST_MS if self._database.owns(senders) else BURST_MS

    def _listening(self) -> Connection:
        connection = self._database.connect_once()
        # The driver takes notices that arrive with the answers to its own statements.
        connection.add_notify_handler(lambda notice: self._received.append(notice.payload))
        try:
            with translate_errors("listening for tiles of other processes"):
                for statement in _LISTEN:
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _lose(self, reason: str) -> None:
        _log.warning("tiles of other processes are not followed until the database is back: %s", reason)
        self._disconnect()

    def _end(self) -> None:
        self._disconnect()
        self._alarm.close()
        self._bell.close()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def read_notice(payload: str) -> list[TileChange]:
    """The changes that a notice names, in order. Text that names no tile is ignored: anybody may notify."""
    changes = []
    for text in payload.split():
        try:
            zoom_level, x, y, source, *flight = text[1:].split("/")
            flight_id = UUID("/".join(flight)) if flight else None
            tile_id = TileId(int(zoom_level), int(x), int(y), TileSource(source), flight_id)
            changes.append(TileChange(ChangeKind(text[0]), tile_id))
        except ValueError:
            _log.warning("ignored a notice that names no tile: %.80r", text)
    return changes
