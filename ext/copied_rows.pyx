"""The catalogue's columns, filled from the rows of a COPY: every value is checked before it is kept."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from _constants cimport (
    DOWNGRADED,
    EVICTABLE,
    FIRST_FLIGHT_ORDINAL,
    MAX_DISK_BYTES,
    MAX_ZOOM,
    PINNED,
    SHA256_BYTES,
    UPLOADED,
    VOTING_SHIFT,
)
from _copy_fields cimport (
    ACCESSED_AT,
    CAPTURED_AT,
    CONTENT_SHA256,
    DISK_BYTES,
    FLIGHT_BYTES,
    FLIGHT_ID,
    FRESH,
    Field,
    PINNED_COLUMN,
    SOURCE,
    UPLOADED_COLUMN,
    VOTING_STATUS,
    X,
    Y,
    ZOOM_LEVEL,
    is_text,
    read_sha256,
    source_ordinal,
    text_of,
    whole_number,
)
from _morton cimport morton, tile_key

from datetime import datetime, timezone
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from uuid import UUID

import numpy as np

from ..domain.errors import TileMetadataError
from ..domain.values.catalogue_entries import CatalogueColumns, VOTING_CODES
from ..domain.values.tile_key import MAX_FLIGHTS, VariantTable
from ..domain.values.tile_rules import UPLOAD_ENDED
from ..domain.values.timestamps import microseconds_of

cdef enum:
    FIRST_ROWS = 1 << 12

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


cdef inline int voting_code(const Field *status) noexcept nogil:
    """The place of a voting status in `VOTING_CODES`; -1 for an unknown one."""
    cdef int code
    if status.bytes == NULL:
        return 0
    for code in range(1, VOTINGS):
        if is_text(status, VOTING_TEXT[code], VOTING_LENGTH[code]):
            return code
    return -1


@cython.final
cdef class Column:
    """Values of one kind, one for each row, in pages of their own: what is let go goes back to the system."""

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
cdef class CopiedRows:
    """The rows taken in so far, a column each, and the flights that they name."""

    def __cinit__(self):
        self.keys = Column(sizeof(int64_t))
        self.captured_us = Column(sizeof(int64_t))
        self.accessed_us = Column(sizeof(int64_t))
        self.disk_bytes = Column(sizeof(int64_t))
        self.flags = Column(1)
        self.content_sha256 = Column(SHA256_BYTES)
        self.ordinals = {}
        self.flights = []
        self.last_ordinal = -1

    def columns(self):
        """The columns and the table that names their flights."""
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

    cdef int keep(self, const Field *fields) except -1 nogil:
        """Check a row and append it. Raises `TileMetadataError` naming the tile for a row that can't be."""
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
