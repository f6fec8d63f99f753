"""Ports that nobody else is given, while nobody listens on them."""

from __future__ import annotations

import socket


def reserved_port() -> tuple[socket.socket, int]:
    """A socket and its port on this machine, which stays the caller's until the socket is closed.

    A connection to the port is refused. A server that sets SO_REUSEADDR may listen on it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved, reserved.getsockname()[1]
