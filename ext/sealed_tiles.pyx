"""Look-ups and reads in the facts and the archive of a sealed base: no lock, no copy, and no Python frame on a hit.

`aerotile.adapters.sealed_base.facts` has the layout of a row, and `aerotile.adapters.sealed_base.store` what is
done when a part or a tile is touched for the first time. The GIL guards the marks of what was touched.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from _constants cimport PINNED, SHA256_BYTES, VARIANT_MASK
from _mappings cimport Mapping, new_part
from _morton cimport Rectangle, curve_of, holds, next_held, rectangle, tile_key
from _row_blocks cimport Row, last_not_above
from _tile_id cimport TileIdLayout, flight_ordinals, key_of, learn_layout
from aerotile.ext.mapped_pixels cimport MappedPixels, mapping_of, new_handle

from .catalogue_matches import CompiledCatalogueMatches
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId, TileSource

cdef extern from *:
    void prefetch_row "__builtin_prefetch" (const void *row) noexcept nogil

cdef enum:
    SAMPLED_ROWS = 8  # of each so many rows of a part one key is sampled; a part has a whole number of them

cdef TileIdLayout LAYOUT
learn_layout(&LAYOUT, TileId, TileSource)


cdef packed struct FactsRow:
    int64_t key
    uint64_t offset
    int64_t captured_us
    uint8_t sha256[SHA256_BYTES]
    uint32_t length
    uint32_t tile_size_pixels
    double ground_sample_distance
    double horizontal_error_m
    double mean_reprojection_error_px
    double sharpness
    uint32_t inlier_count
    uint16_t dataset
    uint16_t flags


FACTS_ROW_BYTES = sizeof(FactsRow)


@cython.final
cdef class SealedTiles:
    """The tiles of a mapped base.

    `check_part(number)` is called before the first use of each part of `part_rows` rows, `check_tile(row)` before
    the first use of each tile's bytes; both raise what the read shall raise. `otherwise(tile_id)` answers for a
    tile that is not here. `first_keys` are the keys of the first row of each part: so a look-up uses one part, and a
    damaged part costs its own tiles alone. Raises `ValueError` for facts that are no whole number of rows, for
    another number of keys than of parts, and for parts that are not a multiple of eight rows.
    """

    cdef MappedPixels facts, archive
    cdef Mapping *whole
    cdef const FactsRow *rows
    cdef bytes keys_of_parts
    cdef const int64_t *first_keys  # in `keys_of_parts`
    cdef Py_ssize_t part_count
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t part_rows, data_offset
    cdef int64_t *samples  # a key of each `SAMPLED_ROWS` rows, a byte a tile: of parts that were checked
    cdef uint8_t *parts_seen
    cdef uint8_t *tiles_seen
    cdef uint64_t times_forgotten
    cdef dict ordinals
    cdef tuple flights
    cdef object check_part, check_tile, otherwise

    def __cinit__(
        self,
        MappedPixels facts not None,
        MappedPixels archive not None,
        variants not None,
        bytes first_keys not None,
        *,
        Py_ssize_t part_rows,
        Py_ssize_t data_offset,
        check_part,
        check_tile,
        otherwise,
    ):
        cdef Mapping *rows = mapping_of(facts)
        if not isinstance(variants, VariantTable):
            raise TypeError(f"variants must be of type VariantTable, got {type(variants).__name__}")
        if part_rows < 1 or part_rows % SAMPLED_ROWS != 0:
            raise ValueError(f"part_rows must be a multiple of {<int>SAMPLED_ROWS}, got {part_rows}")
        if data_offset < 0 or rows.length % <Py_ssize_t>sizeof(FactsRow) != 0:
            raise ValueError(f"{rows.length} bytes of facts are no whole number of rows")
        self.count = rows.length // <Py_ssize_t>sizeof(FactsRow)
        self.part_count = (self.count + part_rows - 1) // part_rows
        if PyBytes_GET_SIZE(first_keys) != self.part_count * <Py_ssize_t>sizeof(int64_t):
            raise ValueError(f"{len(first_keys)} bytes of keys for {self.part_count} parts")
        self.keys_of_parts = first_keys
        self.first_keys = <const int64_t *>PyBytes_AS_STRING(first_keys)
        self.whole = mapping_of(archive)
        self.facts, self.archive = facts.share(), archive.share()  # nobody else can close these
        self.rows = <const FactsRow *>rows.address
        self.part_rows, self.data_offset = part_rows, data_offset
        self.flights = variants.flights
        self.ordinals = flight_ordinals(self.flights)
        self.check_part, self.check_tile, self.otherwise = check_part, check_tile, otherwise
        # Pages of a large array come into being when they are written: a part that is never used costs nothing.
        self.samples = <int64_t *>calloc(self.count // SAMPLED_ROWS + 1, sizeof(int64_t))
        self.parts_seen = <uint8_t *>calloc(self.count // part_rows + 1, 1)
        self.tiles_seen = <uint8_t *>calloc(self.count // 8 + 1, 1)
        if self.samples == NULL or self.parts_seen == NULL or self.tiles_seen == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.samples)
        free(self.parts_seen)
        free(self.tiles_seen)

    cdef int touch_row(self, Py_ssize_t row) except -1:
        """Have the row's part checked, if no row of it was used before."""
        cdef Py_ssize_t part = row // self.part_rows
        if not self.parts_seen[part]:
            self.check_part(part)
            self.sample_part(part)
            self.parts_seen[part] = 1
        return 0

    cdef void sample_part(self, Py_ssize_t part) noexcept:
        cdef Py_ssize_t row
        for row in range(part * self.part_rows, min((part + 1) * self.part_rows, self.count), SAMPLED_ROWS):
            self.samples[row // SAMPLED_ROWS] = self.rows[row].key

    cdef Py_ssize_t lower_bound(self, int64_t key) except -1:
        """The first row whose key is not below `key`; `count` when there is none."""
        cdef Py_ssize_t low, high, row, half
        if self.part_count == 0 or key < self.first_keys[0]:
            return 0
        low = last_not_above(self.first_keys, self.part_count, key) * self.part_rows
        high = min(low + self.part_rows, self.count)
        self.touch_row(low)
        low += SAMPLED_ROWS * last_not_above(
            &self.samples[low // SAMPLED_ROWS], (high - low + SAMPLED_ROWS - 1) // SAMPLED_ROWS, key
        )
        high = min(low + SAMPLED_ROWS, high)
        for row in range(low, high):  # a search in cold memory would wait for one row after the other
            prefetch_row(&self.rows[row])
        while high - low > 1:
            half = (high - low) >> 1
            if self.rows[low + half - 1].key < key:
                low += half
            else:
                high -= half
        return low + (self.rows[low].key < key)

    cdef Py_ssize_t row_of(self, tile_id) except -2:
        """The tile's row; -1 when it is not here."""
        cdef int64_t key = key_of(tile_id, &LAYOUT, self.ordinals)
        cdef Py_ssize_t row
        if key < 0:
            return -1
        row = self.lower_bound(key)
        if row == self.count:
            return -1
        if row % self.part_rows == 0:  # the key lies in no part, or begins this one
            if self.first_keys[row // self.part_rows] != key:
                return -1
            self.touch_row(row)
        if self.rows[row].key != key:
            return -1
        return row

    def read_pixels(self, tile_id):
        """A handle on the tile's bytes, or what `otherwise` returns. Raises what the checks raise."""
        cdef Py_ssize_t row = self.row_of(tile_id)
        if row < 0:
            return self.otherwise(tile_id)
        return self.pixels_of(row)

    cdef MappedPixels pixels_of(self, Py_ssize_t row):
        cdef uint64_t before
        if not self.tiles_seen[row >> 3] >> (row & 7) & 1:
            while True:
                before = self.times_forgotten
                self.check_tile(row)
                if before == self.times_forgotten:
                    break
            self.tiles_seen[row >> 3] |= 1 << (row & 7)
        return self.handle_on(row)

    def forget_checks(self):
        """Have each tile checked again at its next read; a check under way is repeated."""
        self.times_forgotten += 1
        memset(self.tiles_seen, 0, self.count // 8 + 1)

    def raw_pixels(self, Py_ssize_t row):
        """A handle on a row's bytes, which are not checked. Raises `ValueError` for bytes outside of the archive."""
        if not 0 <= row < self.count:
            raise IndexError(row)
        return self.handle_on(row)

    cdef MappedPixels handle_on(self, Py_ssize_t row):
        # Read once: what was checked is what is used, also where another process writes to the mapped file.
        cdef uint64_t offset = self.rows[row].offset, length = self.rows[row].length
        cdef uint64_t size = <uint64_t>self.whole.length
        cdef Mapping *part
        if not (length > 0 and <uint64_t>self.data_offset <= offset <= size and length <= size - offset):
            raise ValueError(f"the bytes of row {row} are not within the archive")
        part = new_part(self.whole, <Py_ssize_t>offset, <Py_ssize_t>length)
        if part == NULL:
            raise MemoryError
        return new_handle(part)

    def row_at(self, tile_id):
        """The tile's row, or None. Raises what `check_part` raises."""
        cdef Py_ssize_t row = self.row_of(tile_id)
        return None if row < 0 else row

    def query(self, int64_t zoom_level, uint64_t min_x, uint64_t min_y, uint64_t max_x, uint64_t max_y):
        """The tiles of one zoom in a rectangle of the grid, as `CatalogueMatches`. Raises what `check_part` raises."""
        cdef Rectangle cells = rectangle(min_x, min_y, max_x, max_y)
        cdef int64_t last = tile_key(zoom_level, cells.last, VARIANT_MASK)
        cdef Py_ssize_t row = self.lower_bound(tile_key(zoom_level, cells.first, 0))
        cdef uint64_t curve
        cdef bytearray found = bytearray()
        cdef Row copied
        while row < self.count:
            self.touch_row(row)
            if self.rows[row].key > last:
                break
            curve = curve_of(self.rows[row].key)
            if holds(&cells, curve):
                copied.key = self.rows[row].key
                copied.captured_us = copied.accessed_us = self.rows[row].captured_us
                copied.disk_bytes = self.rows[row].length
                copied.flags = <uint8_t>self.rows[row].flags | PINNED
                memcpy(copied.content_sha256, self.rows[row].sha256, SHA256_BYTES)
                found += (<char *>&copied)[:sizeof(Row)]
                row += 1
            else:  # the next row at least: facts of an unsigned base may not ascend, and the search must end
                row = max(row + 1, self.lower_bound(tile_key(zoom_level, next_held(&cells, curve), 0)))
        return CompiledCatalogueMatches(bytes(found), self.flights)

    def touch_rows(self, Py_ssize_t begin, Py_ssize_t end):
        """Have the parts of these rows checked, each once."""
        cdef Py_ssize_t row = max(begin, 0)
        while row < min(end, self.count):
            self.touch_row(row)
            row += self.part_rows - row % self.part_rows

    def captured_us(self, tile_id):
        """The tile's capture time in microseconds since 1970, or None. Raises what `check_part` raises."""
        cdef Py_ssize_t row = self.row_of(tile_id)
        return None if row < 0 else self.rows[row].captured_us

    def content_sha256(self, tile_id):
        """The SHA-256 of the tile's bytes as it was sealed, or None; no byte is read. Raises what `check_part` raises."""
        cdef Py_ssize_t row = self.row_of(tile_id)
        if row < 0:
            return None
        return PyBytes_FromStringAndSize(<const char *>&self.rows[row].sha256, SHA256_BYTES).hex()

    def __contains__(self, tile_id):
        return self.row_of(tile_id) >= 0

    def __len__(self):
        return self.count
