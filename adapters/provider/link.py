"""An unreliable connection to a server: a TCP relay on loopback that slows and breaks connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

import attrs

from ..loop_thread import LoopThread
from .reset import reset

_CHUNK_BYTES = 16_384
_CLOSE_LIMIT_S = 1.0


class Breakage(str, Enum):
    """How a connection ends before its time."""

    RESET = "reset"
    """Both sides see a reset."""
    END = "end"
    """Both sides see an orderly end in the middle of a message."""
    SILENCE = "silence"
    """Nothing more arrives, and neither side sees an end."""


class Direction(str, Enum):
    """The direction whose bytes are counted."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


@attrs.frozen(kw_only=True)
class LinkConditions:
    """How the link behaves; by default it has no faults."""

    bytes_per_s: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )
    """Most bytes per second in each direction of each connection."""
    breakage: Breakage | None = None
    break_every: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    """A connection breaks when its number, counted from 1, is a multiple of this."""
    break_after_bytes: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Bytes that pass before the connection breaks; with 0 it breaks at its first byte."""
    break_in: Direction = Direction.TO_SERVER


class BadLink:
    """A relay from a port of its own on 127.0.0.1 to a server, from `start` to `close`.

    New conditions hold for connections made after they were set.
    """

    def __init__(self, host: str, port: int, conditions: LinkConditions | None = None) -> None:
        """Bind the port; nothing is relayed yet."""
        self._server_address = (host, port)
        self._conditions = conditions or LinkConditions()
        self._connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listening.getsockname()[1])
        # An event loop refers to its tasks weakly: a relay whose sockets have ended would be garbage.
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._port

    @property
    def connections(self) -> int:
        """Number of connections since the conditions were set."""
        return self._connections

    @property
    def conditions(self) -> LinkConditions:
        """How the link behaves; setting it counts connections from 1 again."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: LinkConditions) -> None:
        self._conditions = conditions
        self._connections = 0

    def start(self) -> None:
        """Begin to relay."""
        self._loop = LoopThread("bad-link")
        self._loop.submit(self._listen()).result()

    def close(self) -> None:
        """Break every connection and release the port."""
        self._loop.submit(self._stop_listening()).result()
        self._loop.close()

    def __enter__(self) -> BadLink:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listening)

    async def _stop_listening(self) -> None:
        self._server.close()

    def _accept(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        relay = asyncio.get_running_loop().create_task(self._relay(client_in, client_out))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        # A relay that is cancelled before it began has not closed its client's side.
        relay.add_done_callback(lambda _: client_out.transport.abort())

    async def _relay(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        self._connections += 1
        conditions = self._conditions
        breaks = conditions.breakage is not None and self._connections % conditions.break_every == 0
        try:
            server_in, server_out = await asyncio.open_connection(*self._server_address)
        except OSError:
            reset(client_out.transport)
            return
        # However the relay ends: a cancelled one does not get to end its connections in order.
        with _aborting(server_out.transport):
            ways = [
                asyncio.ensure_future(
                    _carry(source, sink, conditions, breaks and conditions.break_in is direction)
                )
                for source, sink, direction in (
                    (client_in, server_out, Direction.TO_SERVER),
                    (server_in, client_out, Direction.TO_CLIENT),
                )
            ]
            ending: Breakage | None = Breakage.END
            try:
                await asyncio.gather(*ways)
            except _BrokenError:
                ending = conditions.breakage
            except OSError:
                ending = Breakage.RESET
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                await _end(ending, client_out, server_out)


@contextmanager
def _aborting(transport: asyncio.WriteTransport) -> Iterator[None]:
    """Close a connection when the context ends, without waiting for bytes on their way."""
    try:
        yield
    finally:
        transport.abort()


class _BrokenError(Exception):
    """The connection has carried as many bytes as it may."""


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, conditions: LinkConditions, breaks: bool
) -> None:
    """Carry one direction until its end, at its rate. Raises `_BrokenError` where it breaks."""
    loop = asyncio.get_running_loop()
    left = conditions.break_after_bytes
    free_at = loop.time()
    while chunk := await source.read(_CHUNK_BYTES):
        piece = chunk[:left] if breaks else chunk
        left -= len(piece)
        if conditions.bytes_per_s is not None:
            free_at = max(free_at, loop.time()) + len(piece) / conditions.bytes_per_s
            await asyncio.sleep(free_at - loop.time())
        if piece:
            sink.write(piece)
            await sink.drain()
        if breaks and left == 0:
            raise _BrokenError
    if sink.can_write_eof():
        sink.write_eof()


async def _end(ending: Breakage | None, *sides: asyncio.StreamWriter) -> None:
    """End a connection on both sides; with `SILENCE` only when the link is closed."""
    try:
        if ending is Breakage.SILENCE:
            await asyncio.Event().wait()
    finally:
        for side in sides:
            if ending is Breakage.RESET:
                reset(side.transport)
            side.close()
        try:
            closed = asyncio.gather(*(side.wait_closed() for side in sides), return_exceptions=True)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(closed, _CLOSE_LIMIT_S)
        finally:
            for side in sides:
                side.transport.abort()  # bytes that are still on their way are dropped
