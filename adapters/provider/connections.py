"""The connections behind the requests, for faults that an application can't cause by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from .reset import reset


class Connections:
    """The open connections, by the client's address."""

    def __init__(self) -> None:
        self._transports: dict[Any, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """A protocol class for `uvicorn.Config.http` whose connections this object knows."""
        transports = self._transports

        class NotedProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
                super().connection_made(transport)
                transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.client, None)
                super().connection_lost(exc)

        return NotedProtocol

    def close(self, scope: Scope) -> None:
        """Close a request's connection after the bytes written to it are sent."""
        transport = self._transports.get(scope["client"])
        if transport is not None:
            transport.close()

    def reset(self, scope: Scope) -> None:
        """Reset a request's connection."""
        transport = self._transports.get(scope["client"])
        if transport is not None:
            reset(transport)
