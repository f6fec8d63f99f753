"""The catalogue's columns out of a binary COPY, without a Python object or the GIL for any row.

The stream comes over a wire: every length is checked before it is believed, and every value before it is
kept. Its format is in PostgreSQL's manual under COPY, "Binary Format".
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t, uintptr_t
from libc.string cimport memcmp

from _copy_fields cimport COLUMNS, FLIGHT_BYTES, FLIGHT_ID, Field, VOTING_STATUS, big_endian_32
from _readiness cimport poll_one
from aerotile.ext.awaited_insert cimport Libpq
from aerotile.ext.copied_rows cimport CopiedRows

cdef extern from "<unistd.h>" nogil:
    ctypedef unsigned int useconds_t
    int usleep(useconds_t)

cdef enum:
    HEADER_BYTES = 19
    TEXT_LIMIT = 64          # no text of a possible row is longer
    QUICK_WAIT_MS = 1        # rows of a busy server come sooner
    READS_AT_ONCE = 1 << 8   # some milliseconds: a signal's handler waits for them

# The length of each column's values, 0 for text. In their order.
cdef int32_t *LENGTHS = [2, 4, 4, 0, FLIGHT_BYTES, 8, 8, 8, 1, 0, 1, 1, 0]

cdef const char *SIGNATURE = b"PGCOPY\n\xff\r\n\0"


class CopyStreamError(ValueError):
    """The bytes are no binary COPY of the catalogue's columns, or not all of it."""


@cython.final
cdef class CatalogueCopy:
    """Parses the binary COPY of these columns, in this order, as it comes in:

    zoom_level int2, x int4, y int4, source text, flight_id uuid or NULL, captured_at and accessed_at
    timestamptz, disk_bytes int8, fresh bool, voting_status text or NULL, pinned bool, uploaded bool,
    content_sha256 text.

    `feed` every block, however the stream is cut, then `finish`. After an error the object is of no more use.
    One thread at a time: another one's call meanwhile raises `RuntimeError`.
    """

    cdef CopiedRows copied
    cdef bytes carried  # the beginning of a row that the next block goes on with
    cdef bint carries   # whether there is one
    cdef bint begun
    cdef bint ended
    cdef bint spent
    cdef bint busy

    def __cinit__(self):
        self.copied = CopiedRows()
        self.carried = b""

    @property
    def rows(self):
        """How many rows came in so far."""
        return self.copied.count

    cdef int begin(self) except -1:
        """Claim the object for this call."""
        if self.busy:
            raise RuntimeError("another thread feeds this copy")
        if self.spent:
            raise ValueError("this copy is finished, or has failed")
        self.busy = True
        self.spent = True  # until the call has gone well
        return 0

    def feed(self, block):
        """Take in the next bytes of the stream (anything with a contiguous buffer).

        Raises `CopyStreamError` for what is no such stream, `TileMetadataError` naming the tile for a row
        that can't be, or when there are more flights than tile keys can tell apart.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(block, &view, PyBUF_SIMPLE)
        try:
            self.begin()
            try:
                self.take_in(<const char *>view.buf, view.len)
                self.spent = False
            finally:
                self.busy = False
        finally:
            PyBuffer_Release(&view)

    def take(self, Libpq libpq not None, uintptr_t connection, int socket, long gather_us):
        """Take in the rows of the COPY that is under way on libpq's `connection`, as `feed` does, without the GIL.

        Where no rows are waiting, they gather for `gather_us`. Returns 0 when nothing more has come for a moment, or
        much has, -1 at the end of the COPY, -2 when libpq has an error to tell.
        """
        cdef int length
        self.begin()
        try:
            with nogil:
                length = self.take_rows(libpq, <void *>connection, socket, gather_us)
            self.spent = False
            return length
        finally:
            self.busy = False

    cdef int take_rows(self, Libpq libpq, void *connection, int socket, long gather_us) except 1 nogil:
        cdef char *row = NULL
        cdef int length
        cdef int reads = 0
        while True:
            length = libpq.get_copy_data(connection, &row, 1)
            if length > 0:
                try:
                    self.take_in(row, length)
                finally:
                    libpq.free_memory(row)
                continue
            if length < 0:
                return length
            if poll_one(socket, 0) == 0:
                usleep(<useconds_t>gather_us)
            if reads == READS_AT_ONCE or poll_one(socket, QUICK_WAIT_MS) != 1:
                return 0
            reads += 1
            if libpq.consume_input(connection) != 1:
                return -2

    def finish(self):
        """The columns and the table that names their flights. Raises `CopyStreamError` for half a stream."""
        self.begin()
        try:
            if not self.ended:
                raise CopyStreamError(f"the stream breaks off after {self.copied.count} rows")
            return self.copied.columns()
        finally:
            self.busy = False

    cdef int take_in(self, const char *block, Py_ssize_t length) except -1 nogil:
        """Parse, and carry over what is left."""
        cdef Py_ssize_t used
        if self.carries:
            with gil:
                return self.go_on(self.carried + PyBytes_FromStringAndSize(block, length))
        used = self.parse(<const uint8_t *>block, length)
        if used < length:
            with gil:
                self.carried = PyBytes_FromStringAndSize(block + used, length - used)
                self.carries = True
        return 0

    cdef int go_on(self, bytes whole) except -1:
        """Take in what was carried over, with what has come since."""
        self.carried = b""
        self.carries = False
        return self.take_in(<const char *>whole, len(whole))

    cdef Py_ssize_t parse(self, const uint8_t *bytes, Py_ssize_t length) except -1 nogil:
        """Take in the whole rows; how many bytes those are."""
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t taken
        if not self.begun:
            if length < HEADER_BYTES:
                return 0
            used = self.header(bytes)
        while True:
            if self.ended:
                if used < length:
                    with gil:
                        raise CopyStreamError(f"{length - used} bytes stand behind the end of the stream")
                return used
            taken = self.row(bytes + used, length - used)
            if taken == 0:
                return used
            used += taken

    cdef Py_ssize_t header(self, const uint8_t *bytes) except -1 nogil:
        if memcmp(bytes, SIGNATURE, 11) != 0:
            with gil:
                raise CopyStreamError("the stream does not begin as a binary COPY does")
        if big_endian_32(bytes + 11) >> 16 != 0 or big_endian_32(bytes + 15) != 0:
            with gil:
                raise CopyStreamError("the header announces what this reader does not know")
        self.begun = True
        return HEADER_BYTES

    cdef Py_ssize_t row(self, const uint8_t *bytes, Py_ssize_t length) except -1 nogil:
        """Take in one row, or the mark at the end; its length in bytes, 0 when it is not all there."""
        cdef Field[COLUMNS] fields
        cdef Py_ssize_t used = 2
        cdef int32_t field_length
        cdef int column
        if length < used:
            return 0
        cdef int found = bytes[0] << 8 | bytes[1]
        if found == 0xFFFF:
            self.ended = True
            return used
        if found != COLUMNS:
            with gil:
                raise CopyStreamError(f"row {self.copied.count} has {found} fields, expected {<int>COLUMNS}")
        for column in range(COLUMNS):
            if length - used < 4:
                return 0
            field_length = <int32_t>big_endian_32(bytes + used)
            used += 4
            fields[column].length = field_length
            if field_length == -1 and (column == FLIGHT_ID or column == VOTING_STATUS):
                fields[column].bytes = NULL
                continue
            if not (0 <= field_length <= TEXT_LIMIT if LENGTHS[column] == 0 else field_length == LENGTHS[column]):
                with gil:
                    raise CopyStreamError(f"row {self.copied.count} has {field_length} bytes in field {column}")
            if length - used < field_length:
                return 0
            fields[column].bytes = bytes + used
            used += field_length
        self.copied.keep(fields)
        return used

