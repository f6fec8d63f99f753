"""The functions of the driver's own libpq that compiled code calls without the interpreter's lock."""

from __future__ import annotations

import ctypes
import inspect
from functools import cache

from psycopg import pq

from ...ext import Libpq


@cache
def driver_libpq() -> Libpq | None:
    """The libpq that the driver's connections are of; None where the driver is not compiled.

    A compiled driver is linked with its libpq, and a look-up through the driver's file finds that one,
    however many others are loaded.
    """
    if pq.__impl__ == "python":
        return None
    driver = ctypes.CDLL(inspect.getfile(pq.PGconn))
    return Libpq(
        *(
            ctypes.cast(function, ctypes.c_void_p).value or 0
            for function in (
                driver.PQconsumeInput,
                driver.PQsendQueryPrepared,
                driver.PQsendQueryParams,
                driver.PQpipelineSync,
            )
        )
    )
