"""A line to PostgreSQL that is cut at a COMMIT, and the tile that is written over it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def described(x: int) -> TileMetadata:
    return TileMetadata(
        tile_id=TileId(8, x, 0, TileSource.IMPORTED),
        captured_at=NOW,
        content_sha256="a" * 64,
        disk_bytes=10,
        ground_sample_distance=1.0,
    )


class Cut(Enum):
    """What happens to the connection that carries a COMMIT."""

    BEFORE = "the COMMIT does not reach the server, which sees the connection close"
    SWALLOWED = "the COMMIT does not reach the server, which sees nothing"
    AFTER = "the server answers the COMMIT, the answer is lost"


class Proxy:
    """A line between client and server that can be cut at a COMMIT, or for good."""

    def __init__(self, dsn: str) -> None:
        self._server = conninfo_to_dict(dsn)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._losing: dict[socket.socket, threading.Event] = {}
        """Clients whose server's answers are lost, and whether one was."""
        self.cut: Cut | None = None
        self.gone_after_cut = False
        self.dsn = make_conninfo(
            dsn, host="127.0.0.1", port=self._listening.getsockname()[1], sslmode="disable"
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.refuse()
        for end in self._sockets:
            end.close()

    def refuse(self) -> None:
        """Take no new connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _connect(self) -> socket.socket:
        host, port = str(self._server["host"]), int(self._server.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(host) / f".s.PGSQL.{port}"))
        return server

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = self._connect()
            self._sockets += [client, server]
            for source, target, watch in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=(source, target, watch), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, watch: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if watch and self.cut is not None and b"COMMIT\x00" in data:
                    self._cut_line(self.cut, source, target, data)
                    return
                if target in self._losing:
                    self._losing[target].set()
                else:
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _cut_line(self, cut: Cut, client: socket.socket, server: socket.socket, data: bytes) -> None:
        if self.gone_after_cut:
            self.refuse()
        if cut is Cut.AFTER:
            lost = self._losing[client] = threading.Event()
            server.sendall(data)
            lost.wait()
            client.shutdown(socket.SHUT_RDWR)
        elif cut is Cut.SWALLOWED:
            client.shutdown(socket.SHUT_RDWR)
        else:
            server.shutdown(socket.SHUT_RDWR)
            client.shutdown(socket.SHUT_RDWR)
