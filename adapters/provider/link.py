"""A bad road to a server: a TCP relay on loopback that is slow and breaks connections when told to."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any

import attrs

_CHUNK_BYTES = 16_384
_CLOSE_LIMIT_S = 1.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class Breakage(str, Enum):
    """How a connection ends before its time."""

    RESET = "reset"
    """Both sides see a reset."""
    END = "end"
    """Both sides see an orderly end in the middle of what was said."""
    SILENCE = "silence"
    """Nothing more arrives, and nobody is told."""


class Direction(str, Enum):
    """Whose bytes are counted."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


@attrs.frozen(kw_only=True)
class LinkConditions:
    """How the road is; the default is a good one."""

    bytes_per_s: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )
    """Most bytes per second in each direction of each connection."""
    breakage: Breakage | None = None
    break_every: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    """Which connections break: numbers, counted from 1, that are a multiple of this."""
    break_after_bytes: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """How many bytes pass first; with 0 the connection breaks when its first byte comes."""
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
        self._loop = asyncio.new_event_loop()
        # An event loop refers to its tasks weakly: a relay whose sockets have ended would be garbage.
        self._relays: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bad-link", daemon=True)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._port

    @property
    def connections(self) -> int:
        """How many were made since the conditions were set."""
        return self._connections

    @property
    def conditions(self) -> LinkConditions:
        """How the road is; setting it counts connections from 1 again."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: LinkConditions) -> None:
        self._conditions = conditions
        self._connections = 0

    def start(self) -> None:
        """Relay from now on."""
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Break every connection and let go of the port."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> BadLink:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listening)

    async def _stop(self) -> None:
        self._server.close()
        relays = asyncio.all_tasks() - {asyncio.current_task()}
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    def _accept(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        relay = self._loop.create_task(self._relay(client_in, client_out))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        self._connections += 1
        conditions = self._conditions
        breaks = conditions.breakage is not None and self._connections % conditions.break_every == 0
        try:
            server_in, server_out = await asyncio.open_connection(*self._server_address)
        except OSError:
            _reset(client_out)
            return
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


class _BrokenError(Exception):
    """The connection has carried what it may carry."""


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, conditions: LinkConditions, breaks: bool
) -> None:
    """Carry one direction until its end, at its pace; raises `_BrokenError` where it breaks."""
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
    """End a connection on both sides; a silent one only when the link is closed."""
    try:
        if ending is Breakage.SILENCE:
            await asyncio.Event().wait()
    finally:
        for side in sides:
            if ending is Breakage.RESET:
                _reset(side)
            side.close()
            try:
                await asyncio.wait_for(side.wait_closed(), _CLOSE_LIMIT_S)
            except (OSError, asyncio.TimeoutError):
                side.transport.abort()  # what was under way is not wanted any more


def _reset(side: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    side.transport.abort()
