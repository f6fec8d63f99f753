"""What a sector grid knows of a cell without children, in one stretch of memory: a look elsewhere waits for memory.

A leaf is a row of 32-bit words: the header, with polygons a map, one word per candidate, and the candidates' own
words. The map cuts the cell into 8 by 8 sub-cells, 4 bits each, a row in a word. It names the shape that is the first
over every tile within a sub-cell, so that no line is looked at where no edge passes. C only.
"""

from libc.stdint cimport uint32_t, uint64_t

from _constants cimport MAX_ZOOM, ROUNDING
from _grid_positions cimport EAST_OF_ANTIMERIDIAN, SOUTH_OF_NORTH_POLE, position
from _polygon_lines cimport Box, Line, line_at, may_touch, separates, touches

cdef enum:
    # Words of the header.
    SETTLED_SHAPE = 0  # the first shape of those that every tile in the cell touches
    CANDIDATE_COUNT = 1
    MAP_WORDS = 2  # 0 or 8
    ZOOM = 3  # of the cell
    HEADER_WORDS = 4
    # A candidate's word: its shape above two bits.
    POLYGON = 1
    INSIDE = 2  # the polygon holds the cell's south-western corner
    SHAPE_SHIFT = 2
    MAX_SHAPES = (1 << 31 - SHAPE_SHIFT) - 1
    # A box's own words are its window; a polygon's are how many lines cross the cell, and their numbers.
    WINDOW_WORDS = 4
    # Of the map.
    MAP_LEVELS = 3
    SIDE = 1 << MAP_LEVELS
    SETTLED = 14  # a code below it is the number of a candidate
    UNKNOWN = 15
    # A map tells within so many words; they may lie in two lines of the processor's caches.
    ANSWER_WORDS = HEADER_WORDS + SIDE
    # Leaves begin at multiples of so many words; `leaf_word` has room for so many of them.
    UNIT = 4
    MAX_UNITS = 1 << 30


cdef struct Tile:
    int zoom
    int x
    int y


cdef struct Window:
    # Where the edges of a tile or of a box around a shape lie among the lines of the finest grid.
    int left
    int top
    int right
    int bottom


cdef enum Relation:
    APART
    CROSSING
    AROUND


cdef extern from * nogil:
    """
    #define aerotile_prefetch(address) __builtin_prefetch(address)
    """
    void prefetch "aerotile_prefetch"(const void *address)


# The word of a cell is positive, the number of its first child, or one of two for a cell that has none.

cdef inline int settled_word(int shape) noexcept nogil:
    """Of a cell without candidates, whose first shape is known."""
    return ~(shape << 1)


cdef inline int leaf_word(Py_ssize_t unit) noexcept nogil:
    return ~<int>(unit << 1 | 1)


cdef inline bint is_settled(int word) noexcept nogil:
    return not ~word & 1


cdef inline int shape_of(int word) noexcept nogil:
    return ~word >> 1


cdef inline const int *leaf_of(int word, const int *leaves) noexcept nogil:
    return leaves + <Py_ssize_t>UNIT * (~word >> 1)


cdef inline Window window_of(const Tile *tile) noexcept nogil:
    cdef int finer = MAX_ZOOM - tile.zoom
    return Window(tile.x << finer, tile.y << finer, (tile.x + 1) << finer, (tile.y + 1) << finer)


cdef inline bint meet(Window one, Window other) noexcept nogil:
    """Whether two windows share a line in both directions."""
    return one.left <= other.right and one.top <= other.bottom and one.right >= other.left and one.bottom >= other.top


cdef inline bint surrounds(Window window, Window inner) noexcept nogil:
    """Whether the box around a shape holds all of a tile."""
    return (
        window.left <= inner.left
        and window.top <= inner.top
        and window.right >= inner.right
        and window.bottom >= inner.bottom
    )


cdef inline bint meets_all_in(Window box, Window cell) noexcept nogil:
    """Whether a box touches every tile in a cell: each reaches from one of the finest lines to another at least."""
    return (
        box.left <= cell.left + 1
        and box.top <= cell.top + 1
        and box.right >= cell.right - 1
        and box.bottom >= cell.bottom - 1
    )


cdef inline Window window_at(const int *words) noexcept nogil:
    return Window(words[0], words[1], words[2], words[3])


cdef inline Box box_of(const Tile *tile) noexcept nogil:
    cdef Window window = window_of(tile)
    return Box(
        position(EAST_OF_ANTIMERIDIAN, window.left),
        -position(SOUTH_OF_NORTH_POLE, window.bottom),
        position(EAST_OF_ANTIMERIDIAN, window.right),
        -position(SOUTH_OF_NORTH_POLE, window.top),
    )


cdef inline const int *candidates_of(const int *leaf) noexcept nogil:
    return leaf + HEADER_WORDS + leaf[MAP_WORDS]


cdef inline int shape_named(const int *leaf, int code) noexcept nogil:
    return leaf[SETTLED_SHAPE] if code == SETTLED else candidates_of(leaf)[code] >> SHAPE_SHIFT


cdef inline int words_of(int candidate, const int *own) noexcept nogil:
    """How many words of its own a candidate has."""
    return 1 + own[0] if candidate & POLYGON else WINDOW_WORDS


cdef inline int code_over(const int *leaf, const Tile *tile) noexcept nogil:
    """The code of the first shape over a tile in the leaf's cell; UNKNOWN where the map doesn't tell."""
    cdef int below = tile.zoom - leaf[ZOOM]
    cdef const uint32_t *rows = <const uint32_t *>(leaf + HEADER_WORDS)
    cdef int side, row, column, code
    cdef uint32_t mask, all_alike
    if leaf[MAP_WORDS] == 0:
        return UNKNOWN
    if below >= MAP_LEVELS:
        row, column = tile.y >> (below - MAP_LEVELS) & SIDE - 1, tile.x >> (below - MAP_LEVELS) & SIDE - 1
        return rows[row] >> 4 * column & 15
    side = SIDE >> below
    row, column = (tile.y & (1 << below) - 1) * side, (tile.x & (1 << below) - 1) * side
    code = rows[row] >> 4 * column & 15
    mask = (<uint32_t>0xFFFFFFFF >> 4 * (SIDE - side)) << 4 * column
    all_alike = <uint32_t>0x11111111 * code & mask
    for row in range(row, row + side):
        if rows[row] & mask != all_alike:
            return UNKNOWN
    return code


cdef inline Relation relation(
    int candidate, const int *own, const double *points, const Tile *tile, int below
) noexcept nogil:
    """How a candidate's polygon lies to the box of a tile, which lies `below` zooms below the cell."""
    cdef Tile cell = Tile(tile.zoom - below, tile.x >> below, tile.y >> below)
    cdef Window around = window_of(&cell)
    cdef double cell_west = position(EAST_OF_ANTIMERIDIAN, around.left)
    cdef double cell_south = -position(SOUTH_OF_NORTH_POLE, around.bottom)
    cdef Box box = box_of(tile)
    cdef bint holds = candidate & INSIDE != 0
    cdef Line line
    cdef int i
    for i in range(1, 1 + own[0]):
        line = line_at(points, own[i])
        if touches(&line, &box, ROUNDING):
            return CROSSING
        holds ^= separates(&line, cell_west, cell_south, box.west, box.south)
    return AROUND if holds else APART


cdef inline void draw_map(uint32_t *rows, const int *leaf, const double *points, const Tile *cell) noexcept nogil:
    """Fill in the map of a leaf whose candidates are there."""
    cdef const int *heads = candidates_of(leaf)
    cdef const int *own = heads + leaf[CANDIDATE_COUNT]
    cdef uint64_t open = ~<uint64_t>0  # the sub-cells whose first shape lies behind the candidates so far
    cdef uint64_t crossed, held
    cdef int number, code, k
    for k in range(SIDE):
        rows[k] = <uint32_t>0x11111111 * (SETTLED if cell.zoom + MAP_LEVELS <= MAX_ZOOM else UNKNOWN)
    if cell.zoom + MAP_LEVELS > MAX_ZOOM:
        return
    for number in range(leaf[CANDIDATE_COUNT]):
        if heads[number] & POLYGON:
            sub_cells_of_polygon(heads[number], own, points, cell, &crossed, &held)
        else:
            sub_cells_of_box(window_at(own), cell, &crossed, &held)
        code = number if number < SETTLED else UNKNOWN
        for k in range(SIDE * SIDE):
            if open >> k & 1 and (crossed | held) >> k & 1:
                rows[k >> MAP_LEVELS] &= ~(<uint32_t>15 << 4 * (k & SIDE - 1))
                rows[k >> MAP_LEVELS] |= <uint32_t>(UNKNOWN if crossed >> k & 1 else code) << 4 * (k & SIDE - 1)
        open &= ~(crossed | held)
        if open == 0:
            return
        own += words_of(heads[number], own)


cdef inline void sub_cells_of_box(Window box, const Tile *cell, uint64_t *crossed, uint64_t *held) noexcept nogil:
    """The sub-cells of which a box touches every tile (`held`), and those of which it may touch some (`crossed`)."""
    cdef Tile tile
    cdef Window window
    cdef int k
    crossed[0] = held[0] = 0
    tile.zoom = cell.zoom + MAP_LEVELS
    for k in range(SIDE * SIDE):
        tile.x, tile.y = (cell.x << MAP_LEVELS) + (k & SIDE - 1), (cell.y << MAP_LEVELS) + (k >> MAP_LEVELS)
        window = window_of(&tile)
        if meets_all_in(box, window) and meet(box, window):
            held[0] |= <uint64_t>1 << k
        elif meet(box, window):
            crossed[0] |= <uint64_t>1 << k


cdef inline void sub_cells_of_polygon(
    int candidate, const int *own, const double *points, const Tile *cell, uint64_t *crossed, uint64_t *held
) noexcept nogil:
    """The sub-cells that a line may touch (`crossed`), and of the others those within the polygon (`held`)."""
    cdef int finer = MAX_ZOOM - cell.zoom - MAP_LEVELS
    cdef double lons[SIDE + 1]
    cdef double lats[SIDE + 1]
    cdef Line line
    cdef Box box
    cdef int i, row, column
    for i in range(SIDE + 1):
        lons[i] = position(EAST_OF_ANTIMERIDIAN, ((cell.x << MAP_LEVELS) + i) << finer)
        lats[i] = -position(SOUTH_OF_NORTH_POLE, ((cell.y << MAP_LEVELS) + i) << finer)
    crossed[0], held[0] = 0, ~<uint64_t>0 if candidate & INSIDE else 0
    for i in range(1, 1 + own[0]):
        line = line_at(points, own[i])
        for row in range(SIDE):
            box.north, box.south = lats[row], lats[row + 1]
            for column in range(SIDE):
                box.west, box.east = lons[column], lons[column + 1]
                if may_touch(&line, &box):
                    crossed[0] |= <uint64_t>1 << (row << MAP_LEVELS | column)
                if separates(&line, lons[0], lats[SIDE], box.west, box.south):
                    held[0] ^= <uint64_t>1 << (row << MAP_LEVELS | column)
    held[0] &= ~crossed[0]
