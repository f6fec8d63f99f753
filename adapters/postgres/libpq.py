"""The functions of the driver's own libpq that compiled code calls without the interpreter's lock."""

from __future__ import annotations

import ctypes
import inspect
from functools import cache

from psycopg import pq
from psycopg.pq.abc import PGconn

from ...ext import Libpq

_FUNCTIONS = (
    "PQconsumeInput",
    "PQsendQueryPrepared",
    "PQsendQueryParams",
    "PQpipelineSync",
    "PQgetCopyData",
    "PQfreemem",
)


def address_of(connection: PGconn) -> int | None:
    """Where libpq has a connection, if it is open; the driver's Protocol lacks what its documentation has."""
    address: int | None = connection.pgconn_ptr  # type: ignore[attr-defined]
    return address


@cache
def driver_libpq() -> Libpq | None:
    """The libpq that the driver's connections are of; None where compiled code can't reach it.

    A compiled driver is linked with its libpq, and a look-up through the driver's file finds that one,
    however many others are loaded. A driver in Python, or one that hides its libpq, has none to give.
    """
    if pq.__impl__ == "python":
        return None
    driver = ctypes.CDLL(inspect.getfile(pq.PGconn))
    try:
        functions = [getattr(driver, name) for name in _FUNCTIONS]
    except AttributeError:
        return None
    return Libpq(*(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions))
