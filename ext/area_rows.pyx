# cython: boundscheck=False, wraparound=False
"""Which rows of place-ordered descriptors an area holds, in C.

`aerotile.domain.values.areas` is the reference; polygons are its own spans.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from _area_spans cimport Shape, Spans, add_shape, add_span
from _constants cimport MAX_ZOOM, VARIANT_MASK
from _morton cimport Rectangle, curve_of, gather, holds, next_held, rectangle, tile_key

from ..domain.values.areas import Area
from ..domain.values.shapes import Circle
from ..domain.values.tile_grid import Bbox

cdef enum:
    SQUARE = 15  # the last of 4 x 4 cells that follow each other on the curve

cdef extern from *:
    int count_bits "__builtin_popcountll" (uint64_t bits) noexcept nogil


@cython.final
cdef class RowSelection:
    """Rows of an area: a bit for each row of the base, and the blocks that hold at least one of them.

    `PlaceOrderedRows.select` fills it, again and again. It belongs to one search at a time.
    """

    cdef uint64_t *bits
    cdef int64_t *numbers  # of the blocks
    cdef uint8_t *is_noted  # of each block, whether `numbers` holds it
    cdef readonly Py_ssize_t bit_bytes
    cdef readonly Py_ssize_t rows_per_block
    cdef Py_ssize_t of_rows
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t blocks

    def __cinit__(self, PlaceOrderedRows rows not None):
        cdef Py_ssize_t words = rows.keys.shape[0] // 64 + 1
        cdef Py_ssize_t most = rows.keys.shape[0] // rows.rows_per_block + 1
        self.bit_bytes = 8 * words
        self.rows_per_block = rows.rows_per_block
        self.of_rows = rows.keys.shape[0]
        self.bits = <uint64_t *>calloc(words, 8)
        self.numbers = <int64_t *>calloc(most, sizeof(int64_t))
        self.is_noted = <uint8_t *>calloc(most, 1)
        if self.bits == NULL or self.numbers == NULL or self.is_noted == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.bits)
        free(self.numbers)
        free(self.is_noted)

    @property
    def bits_address(self):
        """Where the bits lie: row i is bit i & 7 of byte i >> 3."""
        return <size_t>self.bits

    @property
    def blocks_address(self):
        """Where the numbers of the blocks lie, int64, each once and in no order."""
        return <size_t>self.numbers

    def missing_in(self, const uint8_t[::1] flags not None):
        """The numbers of its blocks whose flag is 0. Raises `ValueError` where blocks have no flag."""
        cdef Py_ssize_t place
        cdef list missing = []
        if flags.shape[0] < (self.of_rows + self.rows_per_block - 1) // self.rows_per_block:
            raise ValueError(f"{flags.shape[0]} flags are too few for the blocks of {self.of_rows} rows")
        for place in range(self.blocks):
            if not flags[self.numbers[place]]:
                missing.append(self.numbers[place])
        return missing

    cdef void clear(self) noexcept nogil:
        cdef Py_ssize_t place, first
        for place in range(self.blocks):
            first = self.numbers[place] * self.rows_per_block
            memset(
                &self.bits[first >> 6],
                0,
                8 * (min((first + self.rows_per_block - 1) >> 6, self.bit_bytes // 8 - 1) - (first >> 6) + 1),
            )
            self.is_noted[self.numbers[place]] = False
        self.blocks = self.count = 0

    cdef void note(self, int64_t block) noexcept nogil:
        if not self.is_noted[block]:
            self.is_noted[block] = True
            self.numbers[self.blocks] = block
            self.blocks += 1

    cdef void add(self, Py_ssize_t word, uint64_t bits) noexcept nogil:
        """Set bits of 64 rows, whose blocks are noted."""
        self.count += count_bits(bits & ~self.bits[word])
        self.bits[word] |= bits


@cython.final
cdef class PlaceOrderedRows:
    """The sorted tile keys of all rows, several rows a tile where it has several descriptors.

    `keys` is read where it lies and must not change. Any number of threads may ask.
    """

    cdef const int64_t[::1] keys
    cdef readonly Py_ssize_t rows_per_block
    cdef readonly tuple zooms

    def __init__(self, const int64_t[::1] keys not None, Py_ssize_t rows_per_block):
        if rows_per_block < 1:
            raise ValueError(f"rows_per_block must be 1 or more, got {rows_per_block}")
        self.keys = keys
        self.rows_per_block = rows_per_block
        cdef int zoom
        cdef list zooms = []
        for zoom in range(MAX_ZOOM + 1):
            if self.first_not_below(0, keys.shape[0], tile_key(zoom, 0, 0)) < self.first_not_below(
                0, keys.shape[0], tile_key(zoom + 1, 0, 0)
            ):
                zooms.append(zoom)
        self.zooms = tuple(zooms)

    cdef Py_ssize_t first_not_below(self, Py_ssize_t start, Py_ssize_t stop, int64_t key) noexcept nogil:
        cdef Py_ssize_t middle
        while start < stop:
            middle = start + (stop - start) // 2
            if self.keys[middle] < key:
                start = middle + 1
            else:
                stop = middle
        return start

    cdef Py_ssize_t next_not_below(self, Py_ssize_t start, int64_t key) noexcept nogil:
        """The first row from `start` on whose key is not below `key`; near ones are looked at first."""
        cdef Py_ssize_t step = 16
        cdef Py_ssize_t count = self.keys.shape[0]
        while start + step < count and self.keys[start + step] < key:
            start += step
            step <<= 1
        return self.first_not_below(start, min(start + step + 1, count), key)

    def select(self, area not None, RowSelection selection not None):
        """Have `selection`, which was made for these rows, hold those whose tiles share a point with the area.

        Raises `TypeError` for what is no `Area`, `ValueError` for a selection that was made for other rows.
        """
        if type(area) is not Area:
            raise TypeError(f"area must be of type Area, got {type(area).__name__}")
        if selection.of_rows != self.keys.shape[0] or selection.rows_per_block != self.rows_per_block:
            raise ValueError(
                f"the selection was made for {selection.of_rows} rows in blocks of {selection.rows_per_block}, "
                f"not for {self.keys.shape[0]} in blocks of {self.rows_per_block}"
            )
        cdef Spans spans = Spans(NULL, 0, 0)
        cdef Shape shape
        cdef int zoom
        cdef int64_t size
        selection.clear()
        try:
            for each in area.shapes:
                if type(each) is Circle:
                    shape.is_circle = True
                    shape.lat, shape.lon, shape.radius_m = each.lat, each.lon, each.radius_m
                    shape.south, shape.north = each.latitudes()
                elif type(each) is Bbox:
                    shape.is_circle = False
                    shape.south, shape.north = each.min_lat, each.max_lat
                    shape.west, shape.east = each.min_lon, each.max_lon
                for zoom in self.zooms:
                    if area.zooms is not None and zoom not in area.zooms:
                        continue
                    spans.count = 0
                    if type(each) is Circle or type(each) is Bbox:
                        size = <int64_t>1 << zoom
                        with nogil:
                            failed = add_shape(&spans, &shape, size)
                        if failed != 0:
                            raise MemoryError
                    else:
                        for span in Area((each,)).spans(zoom):
                            if add_span(&spans, span.y, span.min_x, span.max_x) != 0:
                                raise MemoryError
                    if spans.count:
                        self.mark(zoom, &spans, selection)
        finally:
            free(spans.spans)

    cdef int mark(self, int zoom, Spans *spans, RowSelection selection) except -1:
        cdef int64_t first_y = spans.spans[0].y
        cdef int64_t last_y = spans.spans[spans.count - 1].y
        cdef int64_t min_x = spans.spans[0].min_x
        cdef int64_t max_x = spans.spans[0].max_x
        cdef Py_ssize_t number
        cdef Py_ssize_t height = last_y - first_y + 1
        cdef Py_ssize_t *starts = <Py_ssize_t *>malloc((height + 1) * sizeof(Py_ssize_t))
        cdef Rectangle cells
        cdef bint is_full
        if starts == NULL:
            raise MemoryError
        try:
            for number in range(height + 1):
                starts[number] = spans.count
            for number in range(spans.count - 1, -1, -1):
                starts[spans.spans[number].y - first_y] = number
                min_x = min(min_x, spans.spans[number].min_x)
                max_x = max(max_x, spans.spans[number].max_x)
            for number in range(height - 1, -1, -1):  # rows without a span
                starts[number] = min(starts[number], starts[number + 1])
            cells = rectangle(min_x, first_y, max_x, last_y)
            is_full = spans.count == height
            for number in range(spans.count):
                is_full &= (spans.spans[number].min_x == min_x) & (spans.spans[number].max_x == max_x)
                is_full &= spans.spans[number].y == first_y + number
            self.walk(zoom, &cells, spans, starts, first_y, is_full, selection)
        finally:
            free(starts)
        return 0

    cdef void add_run(self, RowSelection selection, Py_ssize_t row, Py_ssize_t end) noexcept nogil:
        """Note the rows from `row` to before `end`."""
        cdef Py_ssize_t block, stop
        for block in range(row // self.rows_per_block, (end - 1) // self.rows_per_block + 1):
            selection.note(block)
        while row < end:
            stop = min(end, (row | 63) + 1)
            selection.add(row >> 6, (~<uint64_t>0 >> (64 - (stop - row))) << (row & 63))
            row = stop

    cdef int walk(
        self,
        int zoom,
        const Rectangle *cells,
        const Spans *spans,
        const Py_ssize_t *starts,
        int64_t first_y,
        bint is_full,
        RowSelection selection,
    ) noexcept nogil:
        """Note the rows of `cells` that a span holds; with `is_full` the spans hold every one of `cells`."""
        cdef int64_t last_key = tile_key(zoom, cells.last, VARIANT_MASK)
        cdef Py_ssize_t row = self.first_not_below(0, self.keys.shape[0], tile_key(zoom, cells.first, 0))
        cdef Py_ssize_t stop = self.first_not_below(row, self.keys.shape[0], last_key + 1)
        cdef Py_ssize_t block_end = -1
        cdef Py_ssize_t number
        cdef uint64_t curve
        cdef int64_t x, y
        cdef bint is_held
        # Values of this function's own: a store through a pointer to bytes may be to any other.
        cdef Rectangle own = cells[0]
        cdef const int64_t *keys = &self.keys[0]
        cdef Py_ssize_t word = row >> 6
        cdef uint64_t bits = 0
        cdef Py_ssize_t end
        cdef int64_t square_end
        while row < stop:
            curve = curve_of(keys[row])
            if not holds(&own, curve):
                row = self.next_not_below(row, tile_key(zoom, next_held(&own, curve), 0))
                continue
            if is_full:
                # With two corners of a square of cells, the rectangle holds all that lie between them on the curve.
                end = row + 1
                if holds(&own, curve & ~SQUARE) and holds(&own, curve | SQUARE):
                    square_end = tile_key(zoom, curve | SQUARE, VARIANT_MASK)
                    while end < stop and keys[end] <= square_end:
                        end += 1
                self.add_run(selection, row, end)
                row = end
                continue
            is_held = False
            x, y = gather(curve), gather(curve >> 1)
            for number in range(starts[y - first_y], starts[y - first_y + 1]):
                if spans.spans[number].min_x <= x <= spans.spans[number].max_x:
                    is_held = True
                    break
            if is_held:
                if row >= block_end:
                    selection.note(row // self.rows_per_block)
                    block_end = (row // self.rows_per_block + 1) * self.rows_per_block
                if row >> 6 != word:
                    selection.add(word, bits)
                    word, bits = row >> 6, 0
                bits |= <uint64_t>1 << (row & 63)
            row += 1
        selection.add(word, bits)
        return 0
