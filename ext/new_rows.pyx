"""New rows of a batch of tiles: their names, their values, and PostgreSQL's binary COPY of them.

`aerotile.domain.values` is the reference: `TileMetadataPersistent.of` for a row, `tile_names` for its two UUIDs.
The format of a COPY is in PostgreSQL's manual under COPY, "Binary Format": a signature, two empty words, then each
row as the number of its fields and each field as its length and its bytes (-1: NULL); big endian.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.datetime cimport timedelta_days, timedelta_microseconds, timedelta_seconds
from cpython.object cimport PyTypeObject
from libc.errno cimport errno
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.string cimport memcpy

from _growing cimport Growing, append, release
from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset

import os
from datetime import datetime, timezone
from hashlib import sha1
from uuid import UUID

import attrs

from ..domain.values.tile_names import NAMESPACE, ZERO_UUID
from ..domain.values.tiles import TileMetadata, TileMetadataPersistent

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *length) except NULL

cdef enum:
    FIELDS = 21
    UUID_BYTES = 16

cdef object hashed_namespace = sha1(NAMESPACE.bytes, usedforsecurity=False)
cdef object from_bytes = int.from_bytes
cdef object is_safe = ZERO_UUID.is_safe
cdef str zero_text = str(ZERO_UUID)
cdef object copy_epoch = datetime(2000, 1, 1, tzinfo=timezone.utc)

cdef PyTypeObject *uuid_type = <PyTypeObject *>UUID
cdef Py_ssize_t uuid_int = slot_offset(UUID, "int")
cdef Py_ssize_t uuid_is_safe = slot_offset(UUID, "is_safe")
cdef PyTypeObject *row_type = <PyTypeObject *>TileMetadataPersistent
# Where each value of a row lies; all but the two names are those of `TileMetadataPersistent.of`.
cdef list row_fields = [
    (field.name, slot_offset(TileMetadataPersistent, field.name)) for field in attrs.fields(TileMetadataPersistent)
]
cdef Py_ssize_t row_uuid = slot_offset(TileMetadataPersistent, "tile_uuid")
cdef Py_ssize_t row_location = slot_offset(TileMetadataPersistent, "location_hash")


cdef object uuid5(str name):
    """`tile_names._uuid5`."""
    cdef object hashed = hashed_namespace.copy()
    hashed.update(name.encode())
    cdef bytes digest = hashed.digest()
    cdef bytes value = PyBytes_FromStringAndSize(PyBytes_AS_STRING(digest), UUID_BYTES)
    cdef char *at = PyBytes_AS_STRING(value)
    at[6] = at[6] & 0x0F | 0x50
    at[8] = at[8] & 0x3F | <char>0x80
    cdef object made = PyType_GenericAlloc(uuid_type, 0)
    fill_slot(made, uuid_int, from_bytes(value, "big"))
    fill_slot(made, uuid_is_safe, is_safe)
    return made


def new_rows(metadata not None, created_at not None):
    """What `TileMetadataPersistent.of` gives for each of many tiles, in their order."""
    cdef list rows = []
    cdef list own = []
    cdef list shared = []
    cdef object tile, tile_id, row
    cdef str place
    cdef Py_ssize_t offset
    for tile in metadata:
        if not rows:
            row = TileMetadataPersistent.of(tile, created_at=created_at)
            names = {field.name for field in attrs.fields(TileMetadata)}  # a persistent one may be given too
            own = [(name, offset) for name, offset in row_fields if name in names and name != "location_hash"]
            shared = [(getattr(row, name), offset) for name, offset in row_fields if name not in names and name != "tile_uuid"]
            rows.append(row)
            continue
        tile_id = tile.tile_id
        place = f"{tile_id.zoom_level}/{tile_id.x}/{tile_id.y}"
        flight = tile_id.flight_id
        row = PyType_GenericAlloc(row_type, 0)
        for name, offset in own:
            fill_slot(row, offset, getattr(tile, name))
        for value, offset in shared:
            fill_slot(row, offset, value)
        fill_slot(row, row_location, uuid5(place))
        fill_slot(
            row, row_uuid, uuid5(f"{place}/{tile_id.source.value}/{zero_text if flight is None else str(flight)}")
        )
        rows.append(row)
    return rows


cdef int put(Growing *out, const void *bytes, size_t length) except -1:
    if append(out, bytes, length) != 0:
        raise MemoryError(os.strerror(errno))
    return 0


cdef int put_number(Growing *out, int64_t value, int length) except -1:
    """The last so many bytes of a number."""
    cdef unsigned char[8] bytes
    cdef int place
    for place in range(length):
        bytes[place] = value >> 8 * (length - 1 - place) & 0xFF
    return put(out, bytes, length)


cdef int put_field(Growing *out, int64_t value, int length) except -1:
    put_number(out, length, 4)
    return put_number(out, value, length)


cdef int put_null(Growing *out) except -1:
    return put_number(out, -1, 4)


cdef int put_real(Growing *out, double value) except -1:
    cdef int64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return put_field(out, bits, 8)


cdef int put_text(Growing *out, object text) except -1:
    """A text, also a member of an enumeration of texts."""
    cdef Py_ssize_t length
    cdef const char *bytes
    if text is None:
        return put_null(out)
    bytes = PyUnicode_AsUTF8AndSize(text, &length)
    put_number(out, length, 4)
    return put(out, bytes, length)


cdef int put_uuid(Growing *out, object uuid) except -1:
    if uuid is None:
        return put_null(out)
    cdef bytes value = uuid.int.to_bytes(UUID_BYTES, "big")
    put_number(out, UUID_BYTES, 4)
    return put(out, PyBytes_AS_STRING(value), UUID_BYTES)


cdef int put_time(Growing *out, object time) except -1:
    cdef object since = time - copy_epoch
    cdef int64_t seconds = timedelta_days(since) * <int64_t>86_400 + timedelta_seconds(since)
    return put_field(out, seconds * 1_000_000 + timedelta_microseconds(since), 8)


cdef int put_row(Growing *out, object row) except -1:
    cdef object tile_id = row.tile_id
    cdef object quality = row.quality
    put_number(out, FIELDS, 2)
    put_field(out, <int16_t>tile_id.zoom_level, 2)
    put_field(out, <int32_t>tile_id.x, 4)
    put_field(out, <int32_t>tile_id.y, 4)
    put_text(out, tile_id.source)
    put_uuid(out, tile_id.flight_id)
    put_time(out, row.captured_at)
    put_text(out, row.freshness_label)
    put_text(out, row.voting_status)
    put_field(out, <int32_t>row.tile_size_pixels, 4)
    put_real(out, row.ground_sample_distance)
    if quality is None:
        for _ in range(4):
            put_null(out)
    else:
        put_real(out, quality.horizontal_error_m)
        put_field(out, <int32_t>quality.inlier_count, 4)
        put_real(out, quality.mean_reprojection_error_px)
        put_real(out, quality.sharpness)
    put_time(out, row.created_at)
    put_time(out, row.created_at)  # accessed_at
    put_uuid(out, row.tile_uuid)
    put_uuid(out, row.location_hash)
    put_text(out, row.content_sha256)
    put_field(out, <int64_t>row.disk_bytes, 8)
    return put_text(out, row.dataset)


def copy_rows(rows not None):
    """The rows for the columns `row_values.INSERTED`, as COPY takes them.

    Raises `OverflowError` for a number that its column can't hold.
    """
    cdef Growing out = Growing(NULL, 0, 0)
    cdef object row
    try:
        put(&out, b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19)
        for row in rows:
            put_row(&out, row)
        put_number(&out, -1, 2)
        return PyBytes_FromStringAndSize(out.bytes, out.length)
    finally:
        release(&out)
