"""The catalogue of committed tiles in C. `aerotile.adapters.memory.tile_catalogue` is the reference.

Rows change only while the lock and the GIL are both held. So a reader that holds the GIL sees them between two
changes and takes no lock; a long operation holds the lock and releases the GIL.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.datetime cimport import_datetime
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyTypeObject
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from _catalogue_entry cimport EntryLayout, entry_of, hexadecimal, learn_entry, read_facts
from _constants cimport MAX_ZOOM, SHA256_BYTES
from _morton cimport Rectangle
from _row_blocks cimport (
    Block,
    Row,
    RowBlocks,
    block_with,
    bytes_held,
    copy_keys,
    disk_bytes_at,
    drop_row,
    free_blocks,
    put_row,
    read_row,
)
from _row_load cimport Columns, fill, keep_accesses
from _row_queries cimport Candidate, Runs, blocks_between, copy_runs, find_oldest, find_runs
from _slots cimport PyObject_TypeCheck, slot, slot_offset
from _tile_id cimport flight_ordinals, key_of, tile_id_of
from _web_mercator cimport cells_covering

import threading

import numpy as np

from ..domain.values.tile_rules import may_be_evicted
from ..domain.values.catalogue_entries import (
    CatalogueColumns,
    CatalogueEntry,
    EvictionCandidate,
    VOTING_CODES,
)
from ..domain.values.timestamps import EPOCH
from ..domain.values.tile_grid import Bbox, check_zoom
from ..domain.values.tile_key import MAX_FLIGHTS, VariantTable
from ..domain.values.tiles import FreshnessLabel, TileId, TileMetadataPersistent, TileSource
from .catalogue_matches import CompiledCatalogueMatches

import_datetime()

cdef Py_ssize_t WIDE_BLOCKS = 256  # a query over more of them leaves the GIL to others
cdef EntryLayout LAYOUT
learn_entry(&LAYOUT, TileId, TileSource, CatalogueEntry, EPOCH, FreshnessLabel, VOTING_CODES)

cdef Py_ssize_t MIN_LAT = slot_offset(Bbox, "min_lat")
cdef Py_ssize_t MIN_LON = slot_offset(Bbox, "min_lon")
cdef Py_ssize_t MAX_LAT = slot_offset(Bbox, "max_lat")
cdef Py_ssize_t MAX_LON = slot_offset(Bbox, "max_lon")


cdef int64_t checked_zoom(object zoom_level) except -1:
    """The zoom as a number. Raises `ValueError` as `check_zoom` does."""
    if not (PyLong_CheckExact(zoom_level) and 0 <= zoom_level <= MAX_ZOOM):
        check_zoom(zoom_level)
    return zoom_level


cdef int fill_from(object columns, object variants, RowBlocks *rows) except -1:
    """Add the rows of `CatalogueColumns`, in the order of their keys, while other threads go on.

    Raises what `CatalogueColumns.check` raises.
    """
    if len(columns) == 0:
        return 0
    cdef const int64_t[::1] keys = np.ascontiguousarray(columns.keys)
    cdef const int64_t[::1] captured_us = np.ascontiguousarray(columns.captured_us)
    cdef const int64_t[::1] accessed_us = np.ascontiguousarray(columns.accessed_us)
    cdef const int64_t[::1] disk_bytes = np.ascontiguousarray(columns.disk_bytes)
    cdef const uint8_t[::1] flags = np.ascontiguousarray(columns.flags)
    cdef const uint8_t[:, ::1] content_sha256 = np.ascontiguousarray(columns.content_sha256)
    cdef const Py_ssize_t[::1] order = np.argsort(keys, kind="stable")
    cdef Columns given
    cdef int failed
    given.count = keys.shape[0]
    if (
        captured_us.shape[0] != given.count
        or accessed_us.shape[0] != given.count
        or disk_bytes.shape[0] != given.count
        or flags.shape[0] != given.count
        or content_sha256.shape[0] != given.count
        or content_sha256.shape[1] != SHA256_BYTES
    ):
        raise ValueError("the columns changed while they were loaded")
    given.keys, given.captured_us, given.accessed_us = &keys[0], &captured_us[0], &accessed_us[0]
    given.disk_bytes, given.flags, given.order = &disk_bytes[0], &flags[0], &order[0]
    given.content_sha256 = &content_sha256[0, 0]
    given.flights = len(variants.flights)
    with nogil:
        failed = fill(rows, &given)
    if failed == -1:
        raise MemoryError
    if failed == -3:
        columns.check(variants)
    if failed:
        raise ValueError("the columns changed while they were loaded")
    return 0


@cython.final
cdef class CompiledTileCatalogue:
    """See `TileCatalogue`. `sys.getsizeof` tells the memory of its rows: at rest at most 64 bytes each."""

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
        cdef tuple flights
        cdef int64_t latest_capture, latest_access
        memset(&rows, 0, sizeof(RowBlocks))
        if not isinstance(columns, CatalogueColumns):
            raise TypeError(f"expected CatalogueColumns, got {columns!r}")
        latest_capture = columns.captured_us.max(initial=0)
        latest_access = columns.accessed_us.max(initial=0)
        try:
            fill_from(columns, variants, &rows)
            with self.lock:
                if since is not None:
                    if self.touched is None or since != self.last_mark:
                        raise ValueError(f"mark {since!r} is not the last one, or was used for a load already")
                    variants = self.put_changes(&rows, variants)
                flights, ordinals = variants.flights, flight_ordinals(variants.flights)
                # From here on no Python code runs, so that readers see all of it or nothing. The former
                # names are dropped at the end.
                former_names = (self.variants, self.flights, self.ordinals, self.touched)
                former = self.rows
                self.rows = rows
                rows = former
                self.variants, self.flights, self.ordinals = variants, flights, ordinals
                self.touched = None
                self.latest_capture = max(self.latest_capture, latest_capture)
                self.latest_access = max(self.latest_access, latest_access)
        finally:
            with nogil:
                free_blocks(&rows)

    cdef object put_changes(self, RowBlocks *rows, object variants):
        """Bring rows loaded since the mark up to what changed since; their table, with more flights if need be."""
        cdef Row row
        cdef Block *block
        cdef Py_ssize_t position
        cdef int64_t key, former_key
        variants = variants.extended(self.touched)
        cdef dict ordinals = flight_ordinals(variants.flights)
        cdef const int64_t[::1] translated = np.array(
            [0, 1, *(ordinals.get(flight.int, -1) for flight in self.flights)], np.int64
        )
        with nogil:
            keep_accesses(rows, &self.rows, &translated[0])
        for tile_id in self.touched:
            key = key_of(tile_id, &LAYOUT.tile_id, ordinals)
            former_key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
            block = NULL if former_key < 0 else block_with(&self.rows, former_key, &position)
            if block == NULL:
                drop_row(rows, key)
                continue
            read_row(block, position, &row)
            row.key = key
            self.put(rows, &row)
        return variants

    cdef bint put(self, RowBlocks *rows, Row *row) except -1:
        """Add or replace a row, without moving its access time back; whether the content is new."""
        cdef Py_ssize_t position
        cdef Block *block = block_with(rows, row.key, &position)
        cdef bint is_new = True
        if block != NULL:
            row.accessed_us = max(row.accessed_us, block.accessed_us[position])
            is_new = memcmp(row.content_sha256, block.content_sha256[position], SHA256_BYTES) != 0
        if put_row(rows, row) != 0:
            raise MemoryError
        return is_new

    def mark(self):
        """See `TileCatalogue`."""
        with self.lock:
            self.last_mark += 1
            self.touched = set()
            return self.last_mark

    def add(self, row not None):
        """See `TileCatalogue`."""
        cdef Row facts
        if not isinstance(row, TileMetadataPersistent):
            raise TypeError(f"row must be of type TileMetadataPersistent, got {type(row).__name__}")
        read_facts(row, may_be_evicted(row), &facts, &LAYOUT)
        with self.lock:
            return self.put_named(row.tile_id, &facts)

    cdef bint put_named(self, object tile_id, Row *row) except -1:
        """`put` a tile's row; the lock is held."""
        row.key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        if row.key < 0:
            variants = self.variants.extended([tile_id])
            self.ordinals = flight_ordinals(variants.flights)
            self.variants, self.flights = variants, variants.flights
            row.key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        if self.touched is not None:
            self.touched.add(tile_id)
        self.latest_capture = max(self.latest_capture, row.captured_us)
        self.latest_access = max(self.latest_access, row.accessed_us)
        return self.put(&self.rows, row)

    def can_name(self, tile_id not None, beside=()):
        """See `TileCatalogue`."""
        if key_of(tile_id, &LAYOUT.tile_id, self.ordinals) >= 0 or tile_id.flight_id in beside:
            return True
        return len({*self.flights, *beside} if beside else self.flights) < MAX_FLIGHTS

    def remove(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef int64_t key
        with self.lock:
            key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
            if self.touched is not None:
                self.touched.add(tile_id)
            return key >= 0 and drop_row(&self.rows, key)

    def note_accesses(self, tile_ids not None, accessed_us not None):
        """See `TileCatalogue`."""
        cdef int64_t key, at
        cdef Py_ssize_t position
        cdef Block *block
        if len(tile_ids) != len(accessed_us):
            raise ValueError(f"{len(tile_ids)} tiles were read, but at {len(accessed_us)} times")
        with self.lock:
            for tile_id, time_us in zip(tile_ids, accessed_us):
                at = time_us
                key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
                block = NULL if key < 0 else block_with(&self.rows, key, &position)
                if block != NULL and block.accessed_us[position] < at:
                    block.accessed_us[position] = at
                    self.latest_access = max(self.latest_access, at)

    def lru_candidates(self, limit, *, bint onboard_only=False):
        """See `TileCatalogue`."""
        cdef Candidate *oldest
        cdef Py_ssize_t count, position
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
                        count = find_oldest(&self.rows, oldest, count, onboard_only)
                return [
                    EvictionCandidate(
                        tile_id_of(oldest[position].key, &LAYOUT.tile_id, self.flights), oldest[position].disk_bytes
                    )
                    for position in range(count)
                ]
            finally:
                free(oldest)

    def query_by_bbox(self, bbox not None, zoom_level):
        """See `TileCatalogue`. Raises `TypeError` for anything but a `Bbox`."""
        cdef int64_t zoom = checked_zoom(zoom_level)
        cdef tuple flights
        cdef bytes rows
        cdef Rectangle cells
        cdef Runs found
        if not PyObject_TypeCheck(bbox, <PyTypeObject *>Bbox):
            raise TypeError(f"bbox must be of type Bbox, got {type(bbox).__name__}")
        cells = cells_covering(
            <object>slot(bbox, MIN_LAT),
            <object>slot(bbox, MIN_LON),
            <object>slot(bbox, MAX_LAT),
            <object>slot(bbox, MAX_LON),
            zoom,
        )
        memset(&found, 0, sizeof(Runs))
        try:
            if blocks_between(&self.rows, zoom, &cells) > WIDE_BLOCKS:
                with self.lock:
                    flights = self.flights
                    rows = self.copied(zoom, &cells, &found)
            else:
                # No Python code runs in here, so that no row changes.
                flights = self.flights
                if find_runs(&self.rows, zoom, &cells, &found) != 0:
                    raise MemoryError
                rows = PyBytes_FromStringAndSize(NULL, found.rows * <Py_ssize_t>sizeof(Row))
                copy_runs(&found, <Row *>PyBytes_AS_STRING(rows))
        finally:
            free(found.runs)
        return CompiledCatalogueMatches(rows, flights)

    cdef bytes copied(self, int64_t zoom_level, const Rectangle *cells, Runs *found):
        """Many rows in a rectangle, found while other threads go on; the lock is held."""
        cdef int failed
        cdef bytes rows
        cdef Row *to
        with nogil:
            failed = find_runs(&self.rows, zoom_level, cells, found)
        if failed:
            raise MemoryError
        rows = PyBytes_FromStringAndSize(NULL, found.rows * <Py_ssize_t>sizeof(Row))
        to = <Row *>PyBytes_AS_STRING(rows)
        with nogil:
            copy_runs(found, to)
        return rows

    def get(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef Row row
        cdef Py_ssize_t position
        cdef int64_t key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &position)
        if block == NULL:
            return None
        read_row(block, position, &row)
        return entry_of(&row, &LAYOUT, self.flights)

    cdef int64_t disk_bytes_of(self, object tile_id) except -1:
        """The length of a tile's file; 0 for an unknown tile."""
        cdef Py_ssize_t position
        cdef int64_t key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &position)
        return 0 if block == NULL else disk_bytes_at(block, position)

    def captured_us(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef Py_ssize_t position
        cdef int64_t key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &position)
        return None if block == NULL else block.captured_us[position]

    def content_sha256(self, tile_id not None):
        """See `TileCatalogue`."""
        cdef Py_ssize_t position
        cdef int64_t key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        cdef Block *block = NULL if key < 0 else block_with(&self.rows, key, &position)
        return None if block == NULL else hexadecimal(block.content_sha256[position])

    def __contains__(self, tile_id not None):
        cdef Py_ssize_t position
        cdef int64_t key = key_of(tile_id, &LAYOUT.tile_id, self.ordinals)
        return key >= 0 and block_with(&self.rows, key, &position) != NULL

    def latest_capture_us(self):
        """See `TileCatalogue`."""
        return self.latest_capture

    def latest_access_us(self):
        """See `TileCatalogue`."""
        return self.latest_access

    def total_disk_bytes(self):
        """See `TileCatalogue`."""
        return self.rows.total_bytes

    def footprint_bytes(self, *, bint onboard_only=False):
        """See `TileCatalogue`."""
        return self.rows.onboard_footprint if onboard_only else self.rows.footprint

    def evictable_bytes(self, *, bint onboard_only=False):
        """See `TileCatalogue`."""
        return self.rows.evictable_onboard_footprint if onboard_only else self.rows.evictable_footprint

    def snapshot(self):
        """See `TileCatalogue`."""
        cdef int64_t[::1] keys
        with self.lock:
            taken = np.empty(self.rows.rows, np.int64)
            keys = taken
            if self.rows.rows > 0:
                with nogil:
                    copy_keys(&self.rows, &keys[0])
            taken.flags.writeable = False
            return taken, self.variants

    def __len__(self):
        return self.rows.rows
