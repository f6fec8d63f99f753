"""The answer to an INSERT that is under way, and the COMMIT that is sent behind it, both without the GIL."""

cimport cython
from libc.stdint cimport uintptr_t

from _readiness cimport ONE_ROW_INSERTED, arrival_of_answer, poll_one


@cython.final
cdef class Libpq:
    """The functions of libpq that send a COMMIT, and those that take the rows of a COPY.

    `Libpq(consume_input, send_query_prepared, send_query_params, pipeline_sync, get_copy_data, freemem)` takes their
    addresses, in the library that made the connections.
    """

    def __cinit__(
        self,
        uintptr_t consume_input,
        uintptr_t send_query_prepared,
        uintptr_t send_query_params,
        uintptr_t pipeline_sync,
        uintptr_t get_copy_data,
        uintptr_t freemem,
    ):
        if not (
            consume_input
            and send_query_prepared
            and send_query_params
            and pipeline_sync
            and get_copy_data
            and freemem
        ):
            raise ValueError("a function of libpq has no address")
        self.consume_input = <ConsumeInput>consume_input
        self.send_prepared = <SendPrepared>send_query_prepared
        self.send_query = <SendQuery>send_query_params
        self.sync_pipeline = <SyncPipeline>pipeline_sync
        self.get_copy_data = <GetCopyData>get_copy_data
        self.free_memory = <FreeMemory>freemem


@cython.final
cdef class AwaitedInsert:
    """One INSERT whose answer arrives on `socket`, and the COMMIT behind it, for `GatedWrite.prewrite`.

    Without `commit_by` nothing is sent. `is_committing` says whether the COMMIT may have reached the server,
    `is_sent` whether all of it was sent: the INSERT's answer then lies in libpq, that of the COMMIT may have arrived.
    """

    def __cinit__(self, int socket):
        self.socket = socket
        self.connection = NULL

    def commit_by(self, Libpq libpq not None, uintptr_t connection, bytes statement not None, values not None):
        """Where the row is inserted and its file durable, run the prepared `statement`, then COMMIT, in one go.

        `connection` is the address of libpq's, in pipeline mode, with the INSERT's pipeline under way. It must stay
        open, and be used by nobody else, until `prewrite` returns. `values` are texts as bytes, or None; 8 at most.
        Raises `ValueError` for more, `TypeError` for others, and then nothing is sent.
        """
        cdef int place
        kept = (statement, *values)
        if len(kept) > 1 + MOST_VALUES:
            raise ValueError(f"{len(values)} values, {MOST_VALUES} at most")
        self.connection = NULL  # nothing is sent until all of it is taken
        self.kept = kept
        for place in range(1, len(kept)):
            value = None if kept[place] is None else <bytes?>kept[place]
            self.values[place - 1] = NULL if value is None else <char *><bytes>value
        self.statement = statement
        self.count = len(kept) - 1
        self.libpq = libpq
        self.connection = <void *>connection

    cdef bint says_one_row(self, int wait_ms) noexcept nogil:
        """Wait for the answer, up to `wait_ms`; whether it is whole and the transaction fine, with one row inserted."""
        return poll_one(self.socket, wait_ms) > 0 and arrival_of_answer(self.socket) == ONE_ROW_INSERTED

    cdef void commit(self) noexcept nogil:
        """Send the COMMIT, and don't wait for its answer: the caller asks for the GIL meanwhile.

        libpq takes the INSERT's answer first, so that it is not lost with the connection: it names the transaction.
        """
        if self.connection == NULL or self.libpq.consume_input(self.connection) != 1:
            return
        self.is_committing = True
        self.is_sent = (
            self.libpq.send_prepared(self.connection, self.statement, self.count, self.values, NULL, NULL, 0) == 1
            and self.libpq.send_query(self.connection, b"COMMIT", 0, NULL, NULL, NULL, NULL, 0) == 1
            and self.libpq.sync_pipeline(self.connection) == 1
        )
