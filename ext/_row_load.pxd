"""Adding many rows to the catalogue without the GIL.

C only; nothing is imported at run time. The blocks that are filled belong to the caller alone.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from _constants cimport (
    FIRST_FLIGHT_ORDINAL,
    MAX_DISK_BYTES,
    MAX_ZOOM,
    MORTON_BITS,
    SHA256_BYTES,
    VARIANT_BITS,
    VARIANT_MASK,
    VOTING_CODE_COUNT,
    VOTING_SHIFT,
)
from _row_blocks cimport (
    ORDINARY_ROWS,
    Block,
    Row,
    RowBlocks,
    append_row,
    block_with,
    resize_directory,
)


cdef struct Columns:
    # Of `count` rows in any order; `order` are their positions by key.
    Py_ssize_t count
    const int64_t *keys
    const int64_t *captured_us
    const int64_t *accessed_us
    const int64_t *disk_bytes
    const uint8_t *flags
    const uint8_t *content_sha256
    const Py_ssize_t *order
    Py_ssize_t flights  # how many the table of the keys names


cdef inline bint names_tile(int64_t key, Py_ssize_t flights) noexcept nogil:
    """Whether a key names a tile by a table of so many flights."""
    cdef int64_t zoom_level = key >> (MORTON_BITS + VARIANT_BITS)
    cdef int64_t place = key >> VARIANT_BITS & (<int64_t>1 << MORTON_BITS) - 1
    return (
        0 <= zoom_level <= MAX_ZOOM
        and place >> 2 * zoom_level == 0
        and key & VARIANT_MASK < FIRST_FLIGHT_ORDINAL + flights
    )


cdef inline int fill(RowBlocks *rows, const Columns *columns) noexcept nogil:
    """Add rows in order of their keys, of equal keys the last.

    Returns -1 when there is no memory, -2 when the keys are not in order, as another thread may change them, and -3
    for a row that `CatalogueColumns.check` refuses.
    """
    cdef Py_ssize_t number, position
    cdef Row row
    row.key = -1
    if resize_directory(rows, columns.count // ORDINARY_ROWS + 1) != 0:
        return -1
    for number in range(columns.count):
        position = columns.order[number]
        if (
            not names_tile(columns.keys[position], columns.flights)
            or columns.flags[position] >> VOTING_SHIFT >= VOTING_CODE_COUNT
        ):
            return -3
        if number + 1 < columns.count and columns.keys[columns.order[number + 1]] == columns.keys[position]:
            continue
        if columns.keys[position] <= row.key:
            return -2
        row.key = columns.keys[position]
        row.captured_us = columns.captured_us[position]
        row.accessed_us = columns.accessed_us[position]
        row.disk_bytes = min(max(columns.disk_bytes[position], 0), MAX_DISK_BYTES)
        row.flags = columns.flags[position]
        memcpy(row.content_sha256, &columns.content_sha256[position * SHA256_BYTES], SHA256_BYTES)
        if append_row(rows, &row) != 0:
            return -1
    return 0


cdef inline void keep_accesses(RowBlocks *rows, const RowBlocks *former, const int64_t *ordinals) noexcept nogil:
    """Raise access times to those of the former rows; `ordinals[i]` is the new ordinal of the former ordinal i."""
    cdef Py_ssize_t number, former_position, position
    cdef int64_t key, ordinal
    cdef Block *block
    cdef Block *former_block
    for number in range(former.count):
        former_block = former.blocks[number]
        for former_position in range(former_block.count):
            key = former_block.keys[former_position]
            ordinal = ordinals[key & VARIANT_MASK]
            if ordinal < 0:
                continue
            block = block_with(rows, key & ~<int64_t>VARIANT_MASK | ordinal, &position)
            if block != NULL and block.accessed_us[position] < former_block.accessed_us[former_position]:
                block.accessed_us[position] = former_block.accessed_us[former_position]
