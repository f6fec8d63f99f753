"""Waits for sockets that take the GIL once: `select` takes it once for each of its calls."""

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno

from _readiness cimport PART_OF_ANSWER, POLLIN, arrival_of_answer, poll, poll_one, pollfd

import time


def is_readable(int descriptor):
    """Whether something can be read from a socket now, its end included; keeps the GIL. Raises `OSError`."""
    cdef int ready = poll_one(descriptor, 0)
    if ready < 0 and errno != EINTR:
        PyErr_SetFromErrno(OSError)
    return ready > 0


def await_readable(int descriptor, timeout_s):
    """Wait until something can be read from a socket; False after `timeout_s` seconds (None: never).

    Raises `OSError`, and what a signal handler raises.
    """
    cdef int timeout_ms = -1
    cdef int ready
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        if deadline is not None:
            timeout_ms = max(0, round((deadline - time.monotonic()) * 1000))
        with nogil:
            ready = poll_one(descriptor, timeout_ms)
        if ready >= 0:
            return ready > 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


def holds_whole_answer(int descriptor):
    """Whether the server's whole answer has arrived, so that reading it does not wait; keeps the GIL.

    Not told of an encrypted connection: False.
    """
    return arrival_of_answer(descriptor) != PART_OF_ANSWER


def await_burst(int descriptor, int alarm, int burst_ms):
    """Wait until something can be read from `descriptor`, and `burst_ms` more for what follows it.

    Returns whether something can be read from `alarm`, which ends both waits. Raises `OSError`, and what a signal
    handler raises.
    """
    cdef pollfd both[2]
    cdef int ready
    both[0].fd, both[1].fd = descriptor, alarm
    both[0].events = both[1].events = POLLIN
    while True:
        both[0].revents = both[1].revents = 0
        with nogil:
            ready = poll(both, 2, -1)
            if ready > 0 and not both[1].revents:
                ready = poll(&both[1], 1, burst_ms)
        if ready >= 0:
            return both[1].revents != 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()
