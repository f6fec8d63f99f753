"""The catalogue of committed tiles in C. `aerotile.domain.sorted_catalogue` is the reference.

Rows change only while the lock and the GIL are both held. So a reader that holds the GIL meets them between two
changes and takes no lock; what takes longer holds the lock in place of the GIL.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.datetime cimport import_datetime, timedelta_new
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyTypeObject
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from _morton cimport MAX_ZOOM, VARIANT_MASK, Rectangle, tile_key
from _row_blocks cimport (
    MAX_DISK_BYTES,
    SHA256_BYTES,
    BLOCK_ROWS,
    Block,
    Row,
    RowBlocks,
    append_row,
    block_with,
    bytes_held,
    drop_row,
    free_blocks,
    last_not_above,
    put_row,
    read_row,
    reserve_blocks,
)
from _row_queries cimport Candidate, Run, Runs, find_oldest, find_runs
from _slots cimport PyObject_TypeCheck, PyType_GenericAlloc, fill_slot, slot, slot_offset
from _tile_id cimport TileIdLayout, flight_ordinals, key_of, learn_layout, tile_id_of
from _web_mercator cimport cells_covering

import threading

import numpy as np

from ..domain.catalogue import (
    DOWNGRADED,
    EVICTABLE,
    PINNED,
    UPLOADED,
    VOTING_CODES,
    VOTING_SHIFT,
    CatalogueEntry,
    EvictionCandidate,
    flags_of,
    microseconds_of,
    moment_of,
)
from ..domain.tile_grid import Bbox, check_zoom
from ..domain.tile_key import VariantTable
from ..domain.tiles import FreshnessLabel, TileId, TileMetadataPersistent, TileSource

import_datetime()

cdef Py_ssize_t WIDE_BLOCKS = 256  # a query over more of them leaves the GIL to others


cdef TileIdLayout TILE_ID
learn_layout(&TILE_ID, TileId, TileSource)

cdef Py_ssize_t[4] BBOX
cdef Py_ssize_t place
for place, name in enumerate(("min_lat", "min_lon", "max_lat", "max_lon")):
    BBOX[place] = slot_offset(Bbox, name)

cdef Py_ssize_t[10] ENTRY
for place, field in enumerate(CatalogueEntry.__attrs_attrs__):
    ENTRY[place] = slot_offset(CatalogueEntry, field.name)

cdef object EPOCH = moment_of(0)
cdef object FRESH_LABEL = FreshnessLabel.FRESH
cdef object DOWNGRADED_LABEL = FreshnessLabel.DOWNGRADED
cdef tuple VOTES = VOTING_CODES
cdef uint8_t DOWNGRADED_BIT = DOWNGRADED
cdef uint8_t PINNED_BIT = PINNED
cdef uint8_t UPLOADED_BIT = UPLOADED
cdef uint8_t EVICTABLE_BIT = EVICTABLE
cdef uint8_t VOTE_SHIFT = VOTING_SHIFT


cdef object moment(int64_t microseconds):
    """The time that many microseconds after 1970 UTC."""
    cdef int64_t seconds = microseconds // 1_000_000
    return EPOCH + timedelta_new(seconds // 86_400, seconds % 86_400, microseconds % 1_000_000)


cdef object hexadecimal(const uint8_t *digest):
    """A SHA-256 as 64 lower-case digits."""
    cdef char[2 * SHA256_BYTES] digits
    cdef const char *alphabet = b"0123456789abcdef"
    cdef Py_ssize_t place
    for place in range(SHA256_BYTES):
        digits[2 * place] = alphabet[digest[place] >> 4]
        digits[2 * place + 1] = alphabet[digest[place] & 15]
    return digits[:2 * SHA256_BYTES].decode("ascii")


cdef object entry_of(const Row *row, tuple flights):
    """A row as a `CatalogueEntry`, made without running its constructor."""
    cdef tuple facts = (
        tile_id_of(row.key, &TILE_ID, flights),
        moment(row.captured_us),
        moment(row.accessed_us),
        row.disk_bytes,
        hexadecimal(row.content_sha256),
        DOWNGRADED_LABEL if row.flags & DOWNGRADED_BIT else FRESH_LABEL,
        VOTES[row.flags >> VOTE_SHIFT],
        row.flags & PINNED_BIT != 0,
        row.flags & UPLOADED_BIT != 0,
        row.flags & EVICTABLE_BIT != 0,
    )
    cdef object entry = PyType_GenericAlloc(<PyTypeObject *>CatalogueEntry, 0)
    cdef Py_ssize_t place
    for place in range(10):
        fill_slot(entry, ENTRY[place], facts[place])
    return entry


@cython.final
cdef class CompiledCatalogueMatches:
    """See `CatalogueMatches`. Made by `CompiledTileCatalogue.query_by_bbox`; one made otherwise is empty."""

    cdef bytes copied
    cdef const Row *rows  # in `copied`
    cdef Py_ssize_t count
    cdef tuple flights

    cdef int make_room(self, Py_ssize_t count) except -1:
        """Room for rows that are then copied."""
        self.copied = PyBytes_FromStringAndSize(NULL, count * <Py_ssize_t>sizeof(Row))
        self.rows = <const Row *>PyBytes_AS_STRING(self.copied)
        self.count = count
        return 0

    @property
    def keys(self):
        """See `CatalogueMatches`."""
        if self.count == 0:
            return unwritable(np.empty(0, np.int64))
        return unwritable(np.frombuffer(self.copied, np.int64)[:: sizeof(Row) // sizeof(int64_t)].copy())

    def tile_ids(self):
        """See `CatalogueMatches`."""
        cdef Py_ssize_t place
        return [tile_id_of(self.rows[place].key, &TILE_ID, self.flights) for place in range(self.count)]

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        cdef Py_ssize_t number
        if isinstance(place, slice):
            return [entry_of(&self.rows[number], self.flights) for number in range(self.count)[place]]
        number = place
        if number < 0:
            number += self.count
        if not 0 <= number < self.count:
            raise IndexError(f"there are {self.count} matches, asked for {place}")
        return entry_of(&self.rows[number], self.flights)

    def __iter__(self):
        return map(self.__getitem__, range(self.count))


cdef object unwritable(object keys):
    """The array, from now on read-only."""
    keys.flags.writeable = False
    return keys


cdef int copy_runs(const Runs *found, Row *rows) noexcept nogil:
    """Copy the rows of all runs."""
    cdef Py_ssize_t number, place
    for number in range(found.count):
        for place in range(found.runs[number].count):
            read_row(found.runs[number].block, found.runs[number].start + place, rows)
            rows += 1
    return 0


cdef int read_facts(object row, Row *facts) except -1:
    """What the catalogue keeps of a tile, but for its key."""
    cdef bytes digest
    if not isinstance(row, TileMetadataPersistent):
        raise TypeError(f"expected a TileMetadataPersistent, got {row!r}")
    facts.captured_us = microseconds_of(row.captured_at)
    facts.accessed_us = microseconds_of(row.accessed_at)
    facts.disk_bytes = min(row.disk_bytes, MAX_DISK_BYTES)
    facts.flags = flags_of(row)
    digest = bytes.fromhex(row.content_sha256)
    if len(digest) != SHA256_BYTES:
        raise ValueError(f"not a SHA-256: {row.content_sha256!r}")
    memcpy(facts.content_sha256, PyBytes_AS_STRING(digest), SHA256_BYTES)
    return 0


cdef int64_t checked_zoom(object zoom_level) except -1:
    """The zoom as a number. Raises `ValueError` as `check_zoom` does."""
    if not (PyLong_CheckExact(zoom_level) and 0 <= zoom_level <= MAX_ZOOM):
        check_zoom(zoom_level)
    return zoom_level


cdef int fill(
    RowBlocks *rows,
    const int64_t[::1] keys,
    const int64_t[::1] captured_us,
    const int64_t[::1] accessed_us,
    const int64_t[::1] disk_bytes,
    const uint8_t[::1] flags,
    const uint8_t[:, ::1] content_sha256,
    const Py_ssize_t[::1] order,
) noexcept nogil:
    """Add rows in order of their keys, of equal keys the last; -1 when there is no memory."""
    cdef Py_ssize_t number, place
    cdef Py_ssize_t count = keys.shape[0]
    cdef Row row
    if reserve_blocks(rows, (count + BLOCK_ROWS - 1) // BLOCK_ROWS) != 0:
        return -1
    for number in range(count):
        place = order[number]
        if number + 1 < count and keys[order[number + 1]] == keys[place]:
            continue
        row.key = keys[place]
        row.captured_us = captured_us[place]
        row.accessed_us = accessed_us[place]
        row.disk_bytes = min(max(disk_bytes[place], 0), MAX_DISK_BYTES)
        row.flags = flags[place]
        memcpy(row.content_sha256, &content_sha256[place, 0], SHA256_BYTES)
        if append_row(rows, &row) != 0:
            return -1
    return 0


cdef void keep_accesses(RowBlocks *rows, const RowBlocks *former, const int64_t[::1] ordinals) noexcept nogil:
    """Let no access time of a tile that was known before go back; `ordinals` are the new ones by the former."""
    cdef Py_ssize_t number, former_place, place
    cdef int64_t key, ordinal
    cdef Block *block
    cdef Block *former_block
    for number in range(former.count):
        former_block = former.blocks[number]
        for former_place in range(former_block.count):
            key = former_block.keys[former_place]
            ordinal = ordinals[key & VARIANT_MASK]
            if ordinal < 0:
                continue
            block = block_with(rows, key & ~<int64_t>VARIANT_MASK | ordinal, &place)
            if block != NULL and block.accessed_us[place] < former_block.accessed_us[former_place]:
                block.accessed_us[place] = former_block.accessed_us[former_place]


@cython.final
cdef class CompiledTileCatalogue:
    """See `TileCatalogue`. `sys.getsizeof` tells the memory of its rows: at rest at most 64 bytes each."""

    cdef RowBlocks rows
    cdef object lock
    cdef object variants
    cdef tuple flights
    cdef dict ordinals
    cdef int64_t last_mark
    cdef set touched  # the tiles added or removed since the mark; None when no reload is under way

    def __cinit__(self):
        self.lock = threading.Lock()
        self.variants = VariantTable()
        self.flights = ()
        self.ordinals = {}

    def __dealloc__(self):
        free_blocks(&self.rows)

    def __sizeof__(self):
        return object.__sizeof__(self) + bytes_held(&self.rows)

    def load(self, columns not None, variants not None, *, since=None):
        """See `TileCatalogue`."""
        cdef RowBlocks rows, former
        cdef object former_names
        cdef dict ordinals
        cdef int failed
        memset(&rows, 0, sizeof(RowBlocks))
        columns.check(variants)
        cdef const int64_t[::1] keys = np.ascontiguousarray(columns.keys)
        cdef const int64_t[::1] captured_us = np.ascontiguousarray(columns.captured_us)
        cdef const int64_t[::1] accessed_us = np.ascontiguousarray(columns.accessed_us)
        cdef const int64_t[::1] disk_bytes = np.ascontiguousarray(columns.disk_bytes)
        cdef const uint8_t[::1] flags = np.ascontiguousarray(columns.flags)
        cdef const uint8_t[:, ::1] content_sha256 = np.ascontiguousarray(columns.content_sha256)
        cdef const Py_ssize_t[::1] order = np.argsort(columns.keys, kind="stable")
        try:
            with nogil:
                failed = fill(
                    &rows, keys, captured_us, accessed_us, disk_bytes, flags, content_sha256, order
                )
            if failed:
                raise MemoryError
            with self.lock:
                if since is not None:
                    if self.touched is None or since != self.last_mark:
                        raise ValueError(f"mark {since!r} is not the last one, or was used for a load already")
                    variants = self.put_changes(&rows, variants)
                ordinals = flight_ordinals(variants.flights)
                # From here on no Python code runs, so that readers meet all of it or nothing. The names are
                # let go of at the end.
                former_names = (self.variants, self.flights, self.ordinals, self.touched)
                former = self.rows
                self.rows = rows
                rows = former
                self.variants, self.flights, self.ordinals = variants, variants.flights, ordinals
                self.touched = None
        finally:
            with nogil:
                free_blocks(&rows)

    cdef object put_changes(self, RowBlocks *rows, object variants):
        """Bring rows loaded since the mark up to what changed since; their table, with more flights if need be."""
        cdef Row row
        cdef Block *block
        cdef Py_ssize_t place
        cdef int64_t key, former_key
        variants = variants.extended(self.touched)
        cdef dict ordinals = flight_ordinals(variants.flights)
        cdef const int64_t[::1] translated = np.array(
            [0, 1, *(ordinals.get(flight.int, -1) for flight in self.flights)], np.int64
        )
        with nogil:
            keep_accesses(rows, &self.rows, translated)
        for tile_id in self.touched:
            key = key_of(tile_id, &TILE_ID, ordinals)
            former_key = key_of(tile_id, &TILE_ID, self.ordinals)
            block = NULL if former_key < 0 else block_with(&self.rows, former_key, &place)
            if block == NULL:
                drop_row(rows, key)
                continue
            read_row(block, place, &row)
            row.key = key
            self.put(rows, &row)
        return variants

    cdef bint put(self, RowBlocks *rows, Row *row) except -1:
        """Add or replace a row, its access time not going back; whether the content is news."""
        cdef Py_ssize_t place
        cdef Block *block = block_with(rows, row.key, &place)
        cdef bint news = True
        if block != NULL:
            row.accessed_us = max(row.accessed_us, block.accessed_us[place])
            news = memcmp(row.content_sha256, block.content_sha256[place], SHA256_BYTES) != 0
        if put_row(rows, row) != 0:
            raise MemoryError
        return news

    def mark(self):
        """See `TileCatalogue`."""
        with self.lock:
            self.last_mark += 1
            self.touched = set()
            return self.last_mark

    def add(self, row not None):
        """See `TileCatalogue`."""
        cdef Row facts
        read_facts(row, &facts)
        with self.lock:
            return self.put_named(row.tile_id, &facts)

    def add_many(self, rows not None):
        """See `TileCatalogue`."""
        for row in rows:
            self.add(row)

    cdef bint put_named(self, object tile_id, Row *row) except -1:
        """`put` a tile's row; the lock is held."""
        row.key = key_of(tile_id, &TILE_ID, self.ordinals)
        if row.key < 0:
            variants = self.variants.extended([tile_id])
            self.ordinals = flight_ordinals(variants.flights)
            self.variants, self.flights = variants, variants.flights
            row.key = key_of(tile_id, &TILE_ID, self.ordinals)
        if self.touched is not None:
            self.touched.add(tile_id)
        return self.put(&self.rows, row)

    def remove(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef int64_t key
        with self.lock:
            key = key_of(tile_id, &TILE_ID, self.ordinals)
            if self.touched is not None:
                self.touched.add(tile_id)
            return key >= 0 and drop_row(&self.rows, key)

    def note_accesses(self, tile_ids not None, accessed_us not None):
        """See `TileCatalogue`."""
        cdef int64_t key, at
        cdef Py_ssize_t place
        cdef Block *block
        if len(tile_ids) != len(accessed_us):
            raise ValueError(f"{len(tile_ids)} tiles were read, but at {len(accessed_us)} times")
        with self.lock:
            for tile_id, moment in zip(tile_ids, accessed_us):
                at = moment
                key = key_of(tile_id, &TILE_ID, self.ordinals)
                block = NULL if key < 0 else block_with(&self.rows, key, &place)
                if block != NULL and block.accessed_us[place] < at:
                    block.accessed_us[place] = at

    def lru_candidates(self, limit):
        """See `TileCatalogue`."""
        cdef Candidate *oldest
        cdef Py_ssize_t count, place
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, got {limit!r}")
        with self.lock:
            count = min(limit, self.rows.rows)
            oldest = <Candidate *>malloc(max(count, 1) * sizeof(Candidate))
            if oldest == NULL:
                raise MemoryError
            try:
                if count > 0:
                    with nogil:
                        count = find_oldest(&self.rows, oldest, count)
                return [
                    EvictionCandidate(
                        tile_id_of(oldest[place].key, &TILE_ID, self.flights), oldest[place].disk_bytes
                    )
                    for place in range(count)
                ]
            finally:
                free(oldest)

    def query_by_bbox(self, bbox not None, zoom_level):
        """See `TileCatalogue`. Raises `TypeError` for anything but a `Bbox`."""
        cdef int64_t zoom = checked_zoom(zoom_level)
        cdef CompiledCatalogueMatches matches = CompiledCatalogueMatches.__new__(CompiledCatalogueMatches)
        cdef Rectangle cells
        cdef Runs found
        if not PyObject_TypeCheck(bbox, <PyTypeObject *>Bbox):
            raise TypeError(f"expected a Bbox, got {bbox!r}")
        cells = cells_covering(
            <object>slot(bbox, BBOX[0]),
            <object>slot(bbox, BBOX[1]),
            <object>slot(bbox, BBOX[2]),
            <object>slot(bbox, BBOX[3]),
            zoom,
        )
        memset(&found, 0, sizeof(Runs))
        try:
            if blocks_between(&self.rows, zoom, &cells) <= WIDE_BLOCKS:
                # No Python code runs from here until the rows are copied: none of them changes meanwhile.
                if find_runs(&self.rows, zoom, &cells, &found) != 0:
                    raise MemoryError
                matches.make_room(found.rows)
                copy_runs(&found, <Row *>matches.rows)
                matches.flights = self.flights
            else:
                self.query_widely(zoom, &cells, &found, matches)
        finally:
            free(found.runs)
        return matches

    cdef int query_widely(
        self, int64_t zoom_level, const Rectangle *cells, Runs *found, CompiledCatalogueMatches matches
    ) except -1:
        """The same for many rows, while other threads go on; changes wait."""
        cdef int failed
        with self.lock:
            with nogil:
                failed = find_runs(&self.rows, zoom_level, cells, found)
            if failed:
                raise MemoryError
            matches.make_room(found.rows)
            with nogil:
                copy_runs(found, <Row *>matches.rows)
            matches.flights = self.flights
        return 0

    def get(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef Row row
        cdef Py_ssize_t place
        cdef int64_t key = key_of(tile_id, &TILE_ID, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &place)
        if block == NULL:
            return None
        read_row(block, place, &row)
        return entry_of(&row, self.flights)

    def captured_us(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef Py_ssize_t place
        cdef int64_t key = key_of(tile_id, &TILE_ID, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &place)
        return None if block == NULL else block.captured_us[place]

    def __contains__(self, tile_id not None):
        cdef Py_ssize_t place
        cdef int64_t key = key_of(tile_id, &TILE_ID, self.ordinals)
        return key >= 0 and block_with(&self.rows, key, &place) != NULL

    def total_disk_bytes(self):
        """See `TileCatalogue`."""
        return self.rows.total_bytes

    def snapshot(self):
        """See `TileCatalogue`."""
        cdef int64_t[::1] keys
        with self.lock:
            taken = np.empty(self.rows.rows, np.int64)
            keys = taken
            if self.rows.rows > 0:
                with nogil:
                    copy_keys(&self.rows, &keys[0])
            return unwritable(taken), self.variants

    def __len__(self):
        return self.rows.rows


cdef void copy_keys(const RowBlocks *rows, int64_t *keys) noexcept nogil:
    """Copy all keys, in their order."""
    cdef Py_ssize_t number
    for number in range(rows.count):
        memcpy(keys, rows.blocks[number].keys, rows.blocks[number].count * sizeof(int64_t))
        keys += rows.blocks[number].count


cdef Py_ssize_t blocks_between(const RowBlocks *rows, int64_t zoom_level, const Rectangle *cells) noexcept:
    """How many blocks lie between the corners of a rectangle on the curve."""
    if rows.count == 0:
        return 0
    return last_not_above(rows.firsts, rows.count, tile_key(zoom_level, cells.last, VARIANT_MASK)) - (
        last_not_above(rows.firsts, rows.count, tile_key(zoom_level, cells.first, 0))
    )
