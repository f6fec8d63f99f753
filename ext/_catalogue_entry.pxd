"""Rows of the catalogue to values of the domain and back, past Python's constructors.

`aerotile.domain.values.catalogue_entries` is the reference. C declarations only; nothing is imported at run time, and the module
that holds an `EntryLayout` keeps the class and the objects in it alive.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.datetime cimport timedelta_days, timedelta_microseconds, timedelta_new, timedelta_seconds
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from _constants cimport (
    DOWNGRADED,
    ENTRY_FIELD_COUNT,
    EVICTABLE,
    MAX_DISK_BYTES,
    PINNED,
    SHA256_BYTES,
    UPLOADED,
    VOTING_CODE_COUNT,
    VOTING_SHIFT,
)
from _row_blocks cimport Row
from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset
from _tile_id cimport TileIdLayout, learn_layout, tile_id_of


cdef struct EntryLayout:
    TileIdLayout tile_id
    PyTypeObject *kind
    Py_ssize_t facts[ENTRY_FIELD_COUNT]
    PyObject *epoch
    PyObject *fresh
    PyObject *downgraded
    PyObject *votes[VOTING_CODE_COUNT]


cdef inline int learn_entry(
    EntryLayout *layout, object tile_id, object sources, object kind, object epoch, object labels, tuple votes
) except -1:
    """Fill in where instances of `CatalogueEntry` hold their attributes, and the objects that entries share."""
    cdef Py_ssize_t position
    learn_layout(&layout.tile_id, tile_id, sources)
    layout.kind = <PyTypeObject *>kind
    for position, field in enumerate(kind.__attrs_attrs__):
        layout.facts[position] = slot_offset(kind, field.name)
    layout.epoch = <PyObject *>epoch
    layout.fresh = <PyObject *>labels.FRESH
    layout.downgraded = <PyObject *>labels.DOWNGRADED
    for position in range(VOTING_CODE_COUNT):
        layout.votes[position] = <PyObject *>votes[position]
    return 0


cdef inline object timestamp_of(int64_t microseconds, const EntryLayout *layout):
    """The time that many microseconds after the epoch. Raises `OverflowError` beyond the years of `datetime`."""
    cdef int64_t seconds = microseconds // 1_000_000
    return <object>layout.epoch + timedelta_new(
        <int>(seconds // 86_400), <int>(seconds % 86_400), <int>(microseconds % 1_000_000)
    )


cdef inline int64_t microseconds_of(object timestamp, const EntryLayout *layout) except? -1:
    """The inverse of `timestamp_of`, of an aware time."""
    cdef object since = timestamp - <object>layout.epoch
    return (timedelta_days(since) * <int64_t>86_400 + timedelta_seconds(since)) * 1_000_000 + (
        timedelta_microseconds(since)
    )


cdef inline str hexadecimal(const uint8_t *digest):
    """A SHA-256 as 64 lower-case digits."""
    cdef char[2 * SHA256_BYTES] digits
    cdef const char *alphabet = b"0123456789abcdef"
    cdef Py_ssize_t position
    for position in range(SHA256_BYTES):
        digits[2 * position] = alphabet[digest[position] >> 4]
        digits[2 * position + 1] = alphabet[digest[position] & 15]
    return digits[: 2 * SHA256_BYTES].decode("ascii")


cdef inline object entry_of(const Row *row, const EntryLayout *layout, tuple flights):
    """A row as a `CatalogueEntry`, made without running its constructor."""
    cdef Py_ssize_t vote = row.flags >> VOTING_SHIFT
    if vote >= VOTING_CODE_COUNT:
        raise ValueError(f"no voting status has the code {vote}")
    cdef tuple facts = (
        tile_id_of(row.key, &layout.tile_id, flights),
        timestamp_of(row.captured_us, layout),
        timestamp_of(row.accessed_us, layout),
        row.disk_bytes,
        hexadecimal(row.content_sha256),
        <object>(layout.downgraded if row.flags & DOWNGRADED else layout.fresh),
        <object>layout.votes[vote],
        row.flags & PINNED != 0,
        row.flags & UPLOADED != 0,
        row.flags & EVICTABLE != 0,
    )
    cdef object entry = PyType_GenericAlloc(layout.kind, 0)
    cdef Py_ssize_t position
    for position in range(ENTRY_FIELD_COUNT):
        fill_slot(entry, layout.facts[position], facts[position])
    return entry


cdef inline uint8_t flags_of(object row, bint evictable, const EntryLayout *layout) except? 255:
    """The labels of a `TileMetadataPersistent` in one byte."""
    cdef object status = row.voting_status
    cdef uint8_t vote = 0
    while <PyObject *>status != layout.votes[vote]:
        vote += 1
        if vote == VOTING_CODE_COUNT:
            raise ValueError(f"not a voting status: {status!r}")
    return (
        (DOWNGRADED if <PyObject *>row.freshness_label == layout.downgraded else 0)
        | (PINNED if row.pinned else 0)
        | (UPLOADED if row.uploaded_at is not None else 0)
        | (EVICTABLE if evictable else 0)
        | vote << VOTING_SHIFT
    )


cdef inline int read_facts(object row, bint evictable, Row *facts, const EntryLayout *layout) except -1:
    """Copy a `TileMetadataPersistent` into a row, without its key."""
    cdef bytes digest = bytes.fromhex(row.content_sha256)
    if len(digest) != SHA256_BYTES:
        raise ValueError(f"not a SHA-256: {row.content_sha256!r}")
    memcpy(facts.content_sha256, PyBytes_AS_STRING(digest), SHA256_BYTES)
    facts.captured_us = microseconds_of(row.captured_at, layout)
    facts.accessed_us = microseconds_of(row.accessed_at, layout)
    facts.disk_bytes = min(row.disk_bytes, MAX_DISK_BYTES)
    facts.flags = flags_of(row, evictable, layout)
    return 0
