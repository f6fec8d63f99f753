"""The catalogue's columns out of a binary COPY, without a Python object or the GIL for any row.

The stream comes over a wire: every length is checked before it is believed, and every value before it is
kept. Its format is in PostgreSQL's manual under COPY, "Binary Format".
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

from _constants cimport (
    DOWNGRADED,
    EVICTABLE,
    FIRST_FLIGHT_ORDINAL,
    IMPORTED_ORDINAL,
    MAX_DISK_BYTES,
    MAX_ZOOM,
    PINNED,
    SATELLITE_PROVIDER_ORDINAL,
    SHA256_BYTES,
    UPLOADED,
    VOTING_SHIFT,
)
from _morton cimport morton, tile_key
from _readiness cimport poll_one
from aerotile.ext.awaited_insert cimport Libpq

from datetime import datetime, timezone
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from uuid import UUID

import numpy as np

from ..domain.values.catalogue_entries import CatalogueColumns, VOTING_CODES
from ..domain.values.timestamps import microseconds_of
from ..domain.errors import TileMetadataError
from ..domain.values.tile_key import MAX_FLIGHTS, VariantTable
from ..domain.values.tile_rules import UPLOAD_ENDED

cdef extern from "<unistd.h>" nogil:
    ctypedef unsigned int useconds_t
    int usleep(useconds_t)

cdef enum:  # the columns
    ZOOM_LEVEL
    X
    Y
    SOURCE
    FLIGHT_ID
    CAPTURED_AT
    ACCESSED_AT
    DISK_BYTES
    FRESH
    VOTING_STATUS
    PINNED_COLUMN
    UPLOADED_COLUMN
    CONTENT_SHA256
    COLUMNS

cdef enum:
    HEADER_BYTES = 19
    TEXT_LIMIT = 64          # no text of a possible row is longer
    FLIGHT_BYTES = 16
    FIRST_ROWS = 1 << 12
    QUICK_WAIT_MS = 1        # rows of a busy server come sooner
    READS_AT_ONCE = 1 << 8   # some milliseconds: a signal's handler waits for them

# The length of each column's values, 0 for text. In their order.
cdef int32_t *LENGTHS = [2, 4, 4, 0, FLIGHT_BYTES, 8, 8, 8, 1, 0, 1, 1, 0]

cdef const char *SIGNATURE = b"PGCOPY\n\xff\r\n\0"
cdef const char *SATELLITE_PROVIDER_TEXT = b"satellite_provider"
cdef const char *IMPORTED_TEXT = b"imported"
cdef const char *ONBOARD_TEXT = b"onboard"

# PostgreSQL counts microseconds from 2000; its infinities lie beyond what a datetime can hold.
cdef int64_t EPOCH_US = microseconds_of(datetime(2000, 1, 1, tzinfo=timezone.utc))
cdef int64_t FIRST_US = microseconds_of(datetime.min.replace(tzinfo=timezone.utc)) - EPOCH_US
cdef int64_t LAST_US = microseconds_of(datetime.max.replace(tzinfo=timezone.utc)) - EPOCH_US

cdef int64_t MOST_FLIGHTS = MAX_FLIGHTS
cdef int ENDED = sum(1 << VOTING_CODES.index(vote) for vote in UPLOAD_ENDED)  # a bit for each voting code
cdef list VOTING_TEXTS = [b"" if status is None else status.value.encode() for status in VOTING_CODES]
cdef int VOTINGS = len(VOTING_TEXTS)
cdef const char *VOTING_TEXT[8]
cdef int32_t[8] VOTING_LENGTH

for _code, _text in enumerate(VOTING_TEXTS):  # which stay alive in their list
    VOTING_TEXT[_code] = <bytes>_text
    VOTING_LENGTH[_code] = <int32_t>len(_text)

# The value of a lower-case hexadecimal digit; 0xFF for any other byte.
cdef uint8_t[256] HEXADECIMAL
memset(HEXADECIMAL, 0xFF, sizeof(HEXADECIMAL))
for _digit in "0123456789abcdef":
    HEXADECIMAL[ord(_digit)] = int(_digit, 16)


class CopyStreamError(ValueError):
    """The bytes are no binary COPY of the catalogue's columns, or not all of it."""


cdef struct Field:
    const uint8_t *bytes  # NULL for SQL's NULL
    int32_t length


cdef inline uint32_t big_endian_32(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline int64_t whole_number(const Field *field) noexcept nogil:
    """The signed number of 2, 4 or 8 bytes."""
    cdef const uint8_t *at = field.bytes
    if field.length == 8:
        return <int64_t>(<uint64_t>big_endian_32(at) << 32 | big_endian_32(at + 4))
    if field.length == 4:
        return <int32_t>big_endian_32(at)
    return <int32_t>(<uint32_t>at[0] << 24 | <uint32_t>at[1] << 16) >> 16


cdef inline bint is_text(const Field *field, const char *text, int32_t length) noexcept nogil:
    return field.length == length and memcmp(field.bytes, text, length) == 0


cdef inline int source_ordinal(const Field *source) noexcept nogil:
    """The variant's ordinal, `FIRST_FLIGHT_ORDINAL` for any flight, -1 for an unknown source."""
    if is_text(source, SATELLITE_PROVIDER_TEXT, 18):
        return SATELLITE_PROVIDER_ORDINAL
    if is_text(source, ONBOARD_TEXT, 7):
        return FIRST_FLIGHT_ORDINAL
    return IMPORTED_ORDINAL if is_text(source, IMPORTED_TEXT, 8) else -1


cdef inline int voting_code(const Field *status) noexcept nogil:
    """The place of a voting status in `VOTING_CODES`; -1 for an unknown one."""
    cdef int code
    if status.bytes == NULL:
        return 0
    for code in range(1, VOTINGS):
        if is_text(status, VOTING_TEXT[code], VOTING_LENGTH[code]):
            return code
    return -1


cdef inline bint read_sha256(const Field *text, uint8_t *digest) noexcept nogil:
    """Whether the text is a SHA-256 in hexadecimal."""
    cdef int place
    cdef uint8_t high, low
    cdef uint8_t wrong = 0
    if text.length != 2 * SHA256_BYTES:
        return False
    for place in range(SHA256_BYTES):
        high = HEXADECIMAL[text.bytes[2 * place]]
        low = HEXADECIMAL[text.bytes[2 * place + 1]]
        wrong |= high | low
        digest[place] = <uint8_t>(high << 4 | low)
    return wrong < 16


cdef str text_of(const Field *field):
    return field.bytes[:field.length].decode("utf-8", "replace")


@cython.final
cdef class Column:
    """Values of one kind, one for each row, in pages of their own: what is let go goes back to the system."""

    cdef object pages
    cdef char *values
    cdef Py_ssize_t row_bytes

    def __cinit__(self, Py_ssize_t row_bytes):
        self.row_bytes = row_bytes

    cdef int make_room(self, Py_ssize_t rows) except -1:
        cdef Py_buffer view
        if self.pages is None:
            self.pages = mmap(-1, rows * self.row_bytes, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        else:
            self.pages.resize(rows * self.row_bytes)
        PyObject_GetBuffer(self.pages, &view, PyBUF_SIMPLE)
        self.values = <char *>view.buf
        PyBuffer_Release(&view)  # the pages stay where they are until the next call
        return 0

    cdef object array(self, Py_ssize_t rows, object kind):
        """The first rows, which keep the pages alive."""
        return np.empty(0, kind) if rows == 0 else np.frombuffer(self.pages, kind, rows * self.row_bytes // kind().itemsize)


@cython.final
cdef class CatalogueCopy:
    """Parses the binary COPY of these columns, in this order, as it comes in:

    zoom_level int2, x int4, y int4, source text, flight_id uuid or NULL, captured_at and accessed_at
    timestamptz, disk_bytes int8, fresh bool, voting_status text or NULL, pinned bool, uploaded bool,
    content_sha256 text.

    `feed` every block, however the stream is cut, then `finish`. After an error the object is of no more use.
    One thread at a time: another one's call meanwhile raises `RuntimeError`.
    """

    cdef Column keys
    cdef Column captured_us
    cdef Column accessed_us
    cdef Column disk_bytes
    cdef Column flags
    cdef Column content_sha256
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef bytes carried  # the beginning of a row that the next block goes on with
    cdef bint carries   # whether there is one
    cdef dict ordinals
    cdef list flights
    cdef uint8_t[FLIGHT_BYTES] last_flight
    cdef int64_t last_ordinal
    cdef bint begun
    cdef bint ended
    cdef bint spent
    cdef bint busy

    def __cinit__(self):
        self.keys = Column(sizeof(int64_t))
        self.captured_us = Column(sizeof(int64_t))
        self.accessed_us = Column(sizeof(int64_t))
        self.disk_bytes = Column(sizeof(int64_t))
        self.flags = Column(1)
        self.content_sha256 = Column(SHA256_BYTES)
        self.carried = b""
        self.ordinals = {}
        self.flights = []
        self.last_ordinal = -1

    @property
    def rows(self):
        """How many rows came in so far."""
        return self.count

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
                raise CopyStreamError(f"the stream breaks off after {self.count} rows")
            rows = self.count
            hashes = self.content_sha256.array(rows, np.uint8)
            return (
                CatalogueColumns(
                    self.keys.array(rows, np.int64),
                    self.captured_us.array(rows, np.int64),
                    self.accessed_us.array(rows, np.int64),
                    self.disk_bytes.array(rows, np.int64),
                    self.flags.array(rows, np.uint8),
                    hashes.reshape(rows, SHA256_BYTES),
                ),
                VariantTable(tuple(self.flights)),
            )
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
                raise CopyStreamError(f"row {self.count} has {found} fields, expected {<int>COLUMNS}")
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
                    raise CopyStreamError(f"row {self.count} has {field_length} bytes in field {column}")
            if length - used < field_length:
                return 0
            fields[column].bytes = bytes + used
            used += field_length
        self.keep(fields)
        return used

    cdef int keep(self, const Field *fields) except -1 nogil:
        """Check a row and append it."""
        cdef int64_t zoom_level = whole_number(&fields[ZOOM_LEVEL])
        cdef int64_t x = whole_number(&fields[X])
        cdef int64_t y = whole_number(&fields[Y])
        cdef int64_t captured_us = whole_number(&fields[CAPTURED_AT])
        cdef int64_t accessed_us = whole_number(&fields[ACCESSED_AT])
        cdef int64_t disk_bytes = whole_number(&fields[DISK_BYTES])
        cdef int64_t ordinal = source_ordinal(&fields[SOURCE])
        cdef bint onboard = ordinal == FIRST_FLIGHT_ORDINAL
        cdef int voting = voting_code(&fields[VOTING_STATUS])
        cdef Py_ssize_t count = self.count
        if not (0 <= zoom_level <= MAX_ZOOM and 0 <= x < 1 << zoom_level and 0 <= y < 1 << zoom_level):
            with gil:
                self.impossible(fields, "its place is off the grid")
        if ordinal < 0 or onboard != (fields[FLIGHT_ID].bytes != NULL):
            with gil:
                self.impossible(fields, "its source and its flight don't go together")
        if not (FIRST_US <= captured_us <= LAST_US and FIRST_US <= accessed_us <= LAST_US):
            with gil:
                self.impossible(fields, "captured_at or accessed_at is no moment")
        if disk_bytes <= 0:
            with gil:
                self.impossible(fields, f"disk_bytes is {disk_bytes}")
        if voting < 0:
            with gil:
                self.impossible(fields, f"voting_status is {text_of(&fields[VOTING_STATUS])!r}")
        if count == self.capacity:
            with gil:
                self.make_room()
        if not read_sha256(&fields[CONTENT_SHA256], <uint8_t *>self.content_sha256.values + count * SHA256_BYTES):
            with gil:
                self.impossible(fields, "content_sha256 is not 64 lower-case hexadecimal digits")
        if onboard:
            ordinal = self.flight_ordinal(fields[FLIGHT_ID].bytes)
        cdef uint8_t flags = <uint8_t>(voting << VOTING_SHIFT)
        cdef bint uploaded = fields[UPLOADED_COLUMN].bytes[0] != 0
        if fields[FRESH].bytes[0] == 0:
            flags |= DOWNGRADED
        if uploaded:
            flags |= UPLOADED
        if fields[PINNED_COLUMN].bytes[0] != 0:
            flags |= PINNED
        elif not onboard or uploaded or ENDED >> voting & 1:  # as `tile_rules.may_be_evicted`
            flags |= EVICTABLE
        (<int64_t *>self.keys.values)[count] = tile_key(zoom_level, morton(<uint64_t>x, <uint64_t>y), ordinal)
        (<int64_t *>self.captured_us.values)[count] = captured_us + EPOCH_US
        (<int64_t *>self.accessed_us.values)[count] = accessed_us + EPOCH_US
        (<int64_t *>self.disk_bytes.values)[count] = min(disk_bytes, MAX_DISK_BYTES)
        (<uint8_t *>self.flags.values)[count] = flags
        self.count = count + 1
        return 0

    cdef int make_room(self) except -1:
        cdef Py_ssize_t rows = self.capacity + self.capacity // 2 + FIRST_ROWS
        self.keys.make_room(rows)
        self.captured_us.make_room(rows)
        self.accessed_us.make_room(rows)
        self.disk_bytes.make_room(rows)
        self.flags.make_room(rows)
        self.content_sha256.make_room(rows)
        self.capacity = rows
        return 0

    cdef int64_t flight_ordinal(self, const uint8_t *flight) except -1 nogil:
        """The ordinal of a flight; rows of one flight mostly stand together."""
        if self.last_ordinal >= 0 and memcmp(flight, self.last_flight, FLIGHT_BYTES) == 0:
            return self.last_ordinal
        with gil:
            return self.known_or_new_ordinal(flight)

    cdef int64_t known_or_new_ordinal(self, const uint8_t *flight) except -1:
        name = PyBytes_FromStringAndSize(<const char *>flight, FLIGHT_BYTES)
        ordinal = self.ordinals.get(name)
        if ordinal is None:
            if len(self.flights) == MOST_FLIGHTS:
                raise TileMetadataError(
                    f"the database holds tiles of more than {MOST_FLIGHTS} flights",
                    remedy="delete the tiles of flights that are long over",
                )
            ordinal = FIRST_FLIGHT_ORDINAL + len(self.flights)
            self.ordinals[name] = ordinal
            self.flights.append(UUID(bytes=name))
        memcpy(self.last_flight, flight, FLIGHT_BYTES)
        self.last_ordinal = ordinal
        return self.last_ordinal

    cdef int impossible(self, const Field *fields, str reason) except -1:
        """Raise the error that names the row."""
        source = text_of(&fields[SOURCE])
        zoom_level = whole_number(&fields[ZOOM_LEVEL])
        x, y = whole_number(&fields[X]), whole_number(&fields[Y])
        raise TileMetadataError(
            f"the database holds an impossible row for tile {source}/{zoom_level}/{x}/{y}: {reason}"
        )
