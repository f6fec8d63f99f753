"""Resetting a TCP connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


def reset(transport: asyncio.WriteTransport) -> None:
    """Reset a connection: the client sees ECONNRESET, not an orderly end."""
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
