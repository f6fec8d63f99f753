"""Waiting for a socket, and looking at what has arrived there; no GIL is needed."""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int poll(pollfd *sockets, unsigned long count, int timeout_ms)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        MSG_PEEK
    Py_ssize_t recv(int descriptor, void *bytes, size_t count, int flags)


cdef enum:
    PEEKED_BYTES = 4096
    LENGTH_OF_READY = 5
    BYTES_OF_INSERTED = 16
    ERROR_RESPONSE = 69  # 'E'
    READY_FOR_QUERY = 90  # 'Z', the last message of an answer
    IN_TRANSACTION = 84  # 'T', the state that READY_FOR_QUERY tells


cdef enum Arrival:
    PART_OF_ANSWER     # or an answer that can't be followed
    WHOLE_ANSWER
    ONE_ROW_INSERTED  # and no error: a whole answer in a transaction that is open and has not failed


cdef inline int poll_one(int descriptor, int timeout_ms) noexcept nogil:
    """Wait until something can be read: 1, 0 after `timeout_ms` (negative: never), or -1 with errno."""
    cdef pollfd one
    one.fd = descriptor
    one.events = POLLIN
    one.revents = 0
    return poll(&one, 1, timeout_ms)


cdef inline Arrival arrival_of_answer(int descriptor) noexcept nogil:
    """How much of a server's answer lies in the socket, and whether it says that a row is inserted; does not wait.

    A message is a letter and the length of the rest, its own four bytes included. What is encrypted, or longer
    than what is looked at, is not taken for whole. A trigger or a rule may leave an INSERT without a row and
    without an error: the command's tag tells.
    """
    cdef uint8_t peeked[PEEKED_BYTES]
    cdef Py_ssize_t count = recv(descriptor, peeked, PEEKED_BYTES, MSG_PEEK | MSG_DONTWAIT)
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t length
    cdef bint failed = False
    cdef bint inserted = False
    while position + 1 + LENGTH_OF_READY <= count:
        length = (
            <Py_ssize_t>peeked[position + 1] << 24
            | <Py_ssize_t>peeked[position + 2] << 16
            | <Py_ssize_t>peeked[position + 3] << 8
            | <Py_ssize_t>peeked[position + 4]
        )
        if length < 4 or not (49 <= peeked[position] <= 122):  # '1' to 'z'
            return PART_OF_ANSWER
        failed |= peeked[position] == ERROR_RESPONSE
        if position + BYTES_OF_INSERTED <= count:
            inserted |= memcmp(peeked + position, b"C\0\0\0\x0fINSERT 0 1\0", BYTES_OF_INSERTED) == 0
        if peeked[position] == READY_FOR_QUERY:
            if length != LENGTH_OF_READY or position + 1 + length != count:
                return PART_OF_ANSWER
            failed |= peeked[position + LENGTH_OF_READY] != IN_TRANSACTION
            return ONE_ROW_INSERTED if inserted and not failed else WHOLE_ANSWER
        position += 1 + length
    return PART_OF_ANSWER
