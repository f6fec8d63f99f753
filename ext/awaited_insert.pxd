"""What other modules of the extension use of an INSERT that is under way."""

cimport cython

cdef enum:
    MOST_VALUES = 8

ctypedef int (*ConsumeInput)(void *connection) noexcept nogil
ctypedef int (*SendPrepared)(
    void *connection,
    const char *name,
    int count,
    char **values,
    const int *lengths,
    const int *formats,
    int result_format,
) noexcept nogil
ctypedef int (*SendQuery)(
    void *connection,
    const char *query,
    int count,
    const unsigned int *types,
    char **values,
    const int *lengths,
    const int *formats,
    int result_format,
) noexcept nogil
ctypedef int (*SyncPipeline)(void *connection) noexcept nogil
ctypedef int (*GetCopyData)(void *connection, char **row, int at_once) noexcept nogil
ctypedef void (*FreeMemory)(void *row) noexcept nogil


@cython.final
cdef class Libpq:
    cdef ConsumeInput consume_input
    cdef SendPrepared send_prepared
    cdef SendQuery send_query
    cdef SyncPipeline sync_pipeline
    cdef GetCopyData get_copy_data
    cdef FreeMemory free_memory


@cython.final
cdef class AwaitedInsert:
    cdef readonly bint is_committing
    cdef readonly bint is_sent
    cdef int socket
    cdef Libpq libpq
    cdef tuple kept  # what the pointers point into
    cdef void *connection
    cdef const char *statement
    cdef int count
    cdef char *values[MOST_VALUES]
    cdef bint says_one_row(self, int wait_ms) noexcept nogil
    cdef void commit(self) noexcept nogil
