"""The address of an embedded server, and the check that the server behind it is this folder's."""

from __future__ import annotations

import os

import psycopg
from psycopg.conninfo import make_conninfo

from ...domain.errors import StoreUnavailableError
from .folder import DataFolder
from .programs import SUPERUSER
from .running_server import RunningServer
from .socket_folder import PORT, SocketFolder

_DATABASE = "postgres"
# A server that asks for the password in clear text is another program's. libpq 16 and newer can refuse that.
_AUTHENTICATION = {"require_auth": "scram-sha-256"} if psycopg.pq.version() >= 160_000 else {}


def dsn_of(server: RunningServer, folder: DataFolder, sockets: SocketFolder) -> str:
    """How to connect to a server as the superuser. Raises `StoreUnavailableError`, `OSError`."""
    if not server.is_on_this_machine:
        raise StoreUnavailableError(
            f"the database in {folder.path} is in use on another machine",
            remedy="stop it there, or choose another data folder",
        )
    return make_conninfo(
        host=sockets.host,
        port=PORT,
        user=SUPERUSER,
        password=folder.password(),
        dbname=_DATABASE,
        **_AUTHENTICATION,
    )


def why_it_does_not_answer(dsn: str, folder: DataFolder) -> str | None:
    """None when the server of `folder` answers a query at `dsn`, else the reason, on one line.

    Raises `StoreUnavailableError` for what waiting does not mend, a wrong password or files that the server
    may not read, and `OSError`.
    """
    try:
        with psycopg.connect(
            dsn,
            connect_timeout=2,
            options="-c statement_timeout=2000",
            client_encoding="UTF8",
            autocommit=True,
        ) as connection:
            connection.execute("SELECT 1")
            # Its bytes, because a path need not be text.
            answer = connection.execute("SHOW data_directory").pgresult
            data_directory = answer.get_value(0, 0) if answer is not None and answer.ntuples else None
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        if "password authentication failed" in reason:
            raise StoreUnavailableError(
                f"the password in {folder.password_file} is not that of the database beside it",
                remedy="restore the file, or set a DSN",
            ) from error
        if "FATAL:" in reason and "Permission denied" in reason:
            raise StoreUnavailableError(
                f"the server may not read its own files in {folder.cluster}: {reason}",
                remedy=f"give all files below {folder.cluster} to the owner of that folder: chown -R",
            ) from error
        return reason
    if data_directory is None or not folder.cluster.samefile(os.fsdecode(data_directory)):
        return "the server of another folder answered"
    return None
