"""A socket to the server of a database, as libpq finds it."""

from __future__ import annotations

import socket
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict


def connect_to_server(dsn: str) -> socket.socket:
    server = conninfo_to_dict(dsn)
    host, port = str(server["host"]), int(server.get("port") or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(str(Path(host) / f".s.PGSQL.{port}"))
    return connected
