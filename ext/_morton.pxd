"""The Z-curve in C: the arithmetic of `aerotile.domain.values.tile_key`, and walks within a rectangle of cells.

C only; nothing is imported at run time.
"""

from libc.stdint cimport int64_t, uint64_t

from _constants cimport MORTON_BITS, VARIANT_BITS

cdef extern from *:
    """
    #define AEROTILE_MORTON_MASK UINT64_C(0xFFFFFFFFFFF)
    #define AEROTILE_COLUMN_BITS UINT64_C(0x55555555555)
    #define aerotile_highest_bit(value) (UINT64_C(1) << (63 - __builtin_clzll(value)))
    """
    const uint64_t MORTON_MASK "AEROTILE_MORTON_MASK"
    const uint64_t COLUMN_BITS "AEROTILE_COLUMN_BITS"
    uint64_t highest_bit "aerotile_highest_bit" (uint64_t value) noexcept nogil


cdef inline uint64_t spread(uint64_t value) noexcept nogil:
    """Move bit i of a 22-bit number to bit 2i."""
    value = (value | value << 16) & <uint64_t>0x0000FFFF0000FFFF
    value = (value | value << 8) & <uint64_t>0x00FF00FF00FF00FF
    value = (value | value << 4) & <uint64_t>0x0F0F0F0F0F0F0F0F
    value = (value | value << 2) & <uint64_t>0x3333333333333333
    return (value | value << 1) & <uint64_t>0x5555555555555555


cdef inline uint64_t gather(uint64_t value) noexcept nogil:
    """The inverse of `spread`: move bit 2i to bit i."""
    value &= <uint64_t>0x5555555555555555
    value = (value | value >> 1) & <uint64_t>0x3333333333333333
    value = (value | value >> 2) & <uint64_t>0x0F0F0F0F0F0F0F0F
    value = (value | value >> 4) & <uint64_t>0x00FF00FF00FF00FF
    value = (value | value >> 8) & <uint64_t>0x0000FFFF0000FFFF
    return (value | value >> 16) & <uint64_t>0x00000000FFFFFFFF


cdef inline uint64_t morton(uint64_t x, uint64_t y) noexcept nogil:
    """The Z-curve position of a grid cell."""
    return spread(x) | spread(y) << 1


cdef inline int64_t tile_key(int64_t zoom_level, uint64_t curve, int64_t ordinal) noexcept nogil:
    """The key of a tile from its zoom, its position on the curve and its variant."""
    return (zoom_level << MORTON_BITS | <int64_t>curve) << VARIANT_BITS | ordinal


cdef inline uint64_t curve_of(int64_t key) noexcept nogil:
    """The position on the curve in a key."""
    return <uint64_t>(key >> VARIANT_BITS) & MORTON_MASK


cdef struct Rectangle:
    # Its north-western and south-eastern cells on the curve, and their x and y bits each for themselves:
    # bits of x compare as x does.
    uint64_t first
    uint64_t last
    uint64_t first_x
    uint64_t last_x
    uint64_t first_y
    uint64_t last_y


cdef inline Rectangle rectangle(uint64_t min_x, uint64_t min_y, uint64_t max_x, uint64_t max_y) noexcept nogil:
    """All cells between two, edges included."""
    cdef Rectangle cells
    cells.first_x, cells.last_x = spread(min_x), spread(max_x)
    cells.first_y, cells.last_y = spread(min_y) << 1, spread(max_y) << 1
    cells.first, cells.last = cells.first_x | cells.first_y, cells.last_x | cells.last_y
    return cells


cdef inline bint holds(const Rectangle *cells, uint64_t curve) noexcept nogil:
    """Whether a cell lies in the rectangle."""
    cdef uint64_t x = curve & COLUMN_BITS
    cdef uint64_t y = curve & ~COLUMN_BITS
    return (x >= cells.first_x) & (x <= cells.last_x) & (y >= cells.first_y) & (y <= cells.last_y)


cdef inline uint64_t same_axis_below(uint64_t bit) noexcept nogil:
    """The lower bits that belong to the same axis as `bit`."""
    return (bit - 1) & (COLUMN_BITS if bit & COLUMN_BITS else ~COLUMN_BITS)


cdef inline uint64_t next_held(const Rectangle *cells, uint64_t curve) noexcept nogil:
    """The first cell of the rectangle behind `curve`, which lies outside it and before its last cell.

    BIGMIN of Tropf and Herzog, "Multidimensional Range Search in Dynamically Balanced Trees" (1981): halve
    the rectangle along the highest bit in which its corners differ, until `curve` is beside what is left.
    """
    cdef uint64_t first = cells.first
    cdef uint64_t last = cells.last
    cdef uint64_t found = last
    cdef uint64_t differing, bit, below
    while True:
        differing = (curve ^ first) | (curve ^ last)
        if differing == 0:
            return found
        bit = highest_bit(differing)
        below = same_axis_below(bit)
        if curve & bit:
            if not last & bit:  # all that is left lies before `curve`
                return found
            # It lies in the upper half.
            first = (first | bit) & ~below
        elif first & bit:  # all that is left lies behind `curve`
            return first
        else:
            # It lies in the lower half; the upper one begins behind it.
            found = (first | bit) & ~below
            last = (last | below) & ~bit
