"""Rows of the catalogue in sorted blocks of columns: 62 bytes a row.

A change moves the rows of a few blocks at most, so there is nothing that has to be merged later while others wait.
Each change also brings a few blocks back to their ordinary length, so that the room left open in all of them stays
near one row in 50: with it, a tile takes less than 64 bytes.

C only; nothing is imported at run time. Nothing here takes a lock: the caller that changes rows
excludes other changes and all reads.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from _constants cimport FOOTPRINT_BLOCK, EVICTABLE, FIRST_FLIGHT_ORDINAL, FOOTPRINT_PAIR, SHA256_BYTES, VARIANT_MASK

cdef enum:
    BLOCK_ROWS = 128
    ORDINARY_ROWS = 127  # a block with no room at all is split by the next row, which costs room for 127
    SPARE_BLOCKS = 1  # room that is always allowed, for catalogues of few tiles
    TIDY_STEPS = 4  # blocks put in order with each change while there is a little too much room
    MOST_TIDY_STEPS = 32  # and while there is far too much

cdef extern from *:
    """
    /* Prefetches all keys of a block: a search in cold memory would wait for one cache line after the other. */
    static inline void aerotile_prefetch_keys(const void *block) {
        int line;
        for (line = 0; line < 16; line++) __builtin_prefetch((const char *)block + 64 * line);
    }
    """
    void prefetch_keys "aerotile_prefetch_keys" (const void *block) noexcept nogil


cdef struct Row:
    int64_t key
    int64_t captured_us
    int64_t accessed_us
    int64_t disk_bytes
    uint8_t flags
    uint8_t content_sha256[SHA256_BYTES]


cdef struct Block:
    int64_t keys[BLOCK_ROWS]
    int64_t captured_us[BLOCK_ROWS]
    int64_t accessed_us[BLOCK_ROWS]
    uint32_t low_bytes[BLOCK_ROWS]  # the lower 32 bits of disk_bytes, and the next 8
    uint8_t high_bytes[BLOCK_ROWS]
    uint8_t flags[BLOCK_ROWS]
    uint8_t content_sha256[BLOCK_ROWS][SHA256_BYTES]
    Py_ssize_t count  # never 0


cdef struct RowBlocks:
    Py_ssize_t count
    Py_ssize_t capacity
    int64_t *firsts  # each block's first key, or one between it and the block before; the first is never looked at
    Block **blocks
    Py_ssize_t rows
    int64_t total_bytes
    int64_t footprint  # of all tiles, as the disk budget counts; the rest are parts of it
    int64_t onboard_footprint
    int64_t evictable_footprint
    int64_t evictable_onboard_footprint
    Py_ssize_t tidied  # the block that is filled up next


cdef inline Py_ssize_t last_not_above(const int64_t *keys, Py_ssize_t count, int64_t key) noexcept nogil:
    """The last of the sorted keys that is not above `key`, or the first. There is at least one."""
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t half
    while count > 1:
        half = count >> 1
        position += half if keys[position + half] <= key else 0
        count -= half
    return position


cdef inline Py_ssize_t first_not_below(const int64_t *keys, Py_ssize_t count, int64_t key) noexcept nogil:
    """How many of the sorted keys are below `key`."""
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t half
    if count == 0:
        return 0
    while count > 1:
        half = count >> 1
        position += half if keys[position + half - 1] < key else 0
        count -= half
    return position + (keys[position] < key)


cdef inline Block *block_with(const RowBlocks *all, int64_t key, Py_ssize_t *position) noexcept nogil:
    """The block that holds `key` if any does, and where in it; NULL when it does not."""
    cdef Block *block
    if all.count == 0:
        return NULL
    block = all.blocks[last_not_above(all.firsts, all.count, key)]
    prefetch_keys(block)
    position[0] = first_not_below(block.keys, block.count, key)
    return block if position[0] < block.count and block.keys[position[0]] == key else NULL


cdef inline int64_t disk_bytes_at(const Block *block, Py_ssize_t position) noexcept nogil:
    """The size of one row's tile."""
    return <int64_t>block.high_bytes[position] << 32 | block.low_bytes[position]


cdef inline void count_row(RowBlocks *all, int64_t key, uint8_t flags, int64_t disk_bytes, int sign) noexcept nogil:
    """Add one row to the sums (sign 1), or take it out of them (-1)."""
    cdef bint is_onboard = (key & VARIANT_MASK) >= FIRST_FLIGHT_ORDINAL
    cdef int64_t taken = sign * ((disk_bytes + FOOTPRINT_BLOCK - 1) // FOOTPRINT_BLOCK * FOOTPRINT_BLOCK + FOOTPRINT_PAIR)
    all.total_bytes += sign * disk_bytes
    all.footprint += taken
    if is_onboard:
        all.onboard_footprint += taken
    if flags & EVICTABLE:
        all.evictable_footprint += taken
        if is_onboard:
            all.evictable_onboard_footprint += taken


cdef inline void read_row(const Block *block, Py_ssize_t position, Row *row) noexcept nogil:
    """Copy a row out."""
    row.key = block.keys[position]
    row.captured_us = block.captured_us[position]
    row.accessed_us = block.accessed_us[position]
    row.disk_bytes = disk_bytes_at(block, position)
    row.flags = block.flags[position]
    memcpy(row.content_sha256, block.content_sha256[position], SHA256_BYTES)


cdef inline void write_row(Block *block, Py_ssize_t position, const Row *row) noexcept nogil:
    """Overwrite a row."""
    block.keys[position] = row.key
    block.captured_us[position] = row.captured_us
    block.accessed_us[position] = row.accessed_us
    block.low_bytes[position] = <uint32_t>row.disk_bytes
    block.high_bytes[position] = <uint8_t>(row.disk_bytes >> 32)
    block.flags[position] = row.flags
    memcpy(block.content_sha256[position], row.content_sha256, SHA256_BYTES)


cdef inline void move_rows(
    Block *target, Py_ssize_t to, const Block *source, Py_ssize_t start, Py_ssize_t count
) noexcept nogil:
    """Copy rows to another position, which may be in the same block and overlap."""
    memmove(&target.keys[to], &source.keys[start], count * sizeof(int64_t))
    memmove(&target.captured_us[to], &source.captured_us[start], count * sizeof(int64_t))
    memmove(&target.accessed_us[to], &source.accessed_us[start], count * sizeof(int64_t))
    memmove(&target.low_bytes[to], &source.low_bytes[start], count * sizeof(uint32_t))
    memmove(&target.high_bytes[to], &source.high_bytes[start], count)
    memmove(&target.flags[to], &source.flags[start], count)
    memmove(&target.content_sha256[to], &source.content_sha256[start], count * SHA256_BYTES)


cdef inline int resize_directory(RowBlocks *all, Py_ssize_t capacity) noexcept nogil:
    """Let the directory hold `capacity` blocks, 1 or more; -1 when there is no memory."""
    cdef void *resized = realloc(all.firsts, capacity * sizeof(int64_t))
    if resized == NULL:
        return -1
    all.firsts = <int64_t *>resized
    all.capacity = min(all.capacity, capacity)
    resized = realloc(all.blocks, capacity * sizeof(Block *))
    if resized == NULL:
        return -1
    all.blocks = <Block **>resized
    all.capacity = capacity
    return 0


cdef inline Block *new_block(RowBlocks *all, Py_ssize_t position) noexcept nogil:
    """An empty block in the directory, whose first key is not known yet; NULL when there is no memory."""
    cdef Block *block
    if all.count == all.capacity and resize_directory(all, all.count + (all.count >> 3) + 8) != 0:
        return NULL
    block = <Block *>malloc(sizeof(Block))
    if block == NULL:
        return NULL
    block.count = 0
    memmove(&all.firsts[position + 1], &all.firsts[position], (all.count - position) * sizeof(int64_t))
    memmove(&all.blocks[position + 1], &all.blocks[position], (all.count - position) * sizeof(Block *))
    all.blocks[position] = block
    all.count += 1
    return block


cdef inline void drop_block(RowBlocks *all, Py_ssize_t position) noexcept nogil:
    """Take a block that has become empty out of the directory."""
    free(all.blocks[position])
    all.count -= 1
    memmove(&all.firsts[position], &all.firsts[position + 1], (all.count - position) * sizeof(int64_t))
    memmove(&all.blocks[position], &all.blocks[position + 1], (all.count - position) * sizeof(Block *))
    if all.capacity > 2 * all.count + 64:
        resize_directory(all, all.count + (all.count >> 3) + 8)  # without success it stays as it is


cdef inline void tidy(RowBlocks *all) noexcept nogil:
    """Bring blocks to their ordinary length at the cost of the ones behind, if too much room is open over all."""
    cdef Block *block
    cdef Block *behind
    cdef Py_ssize_t allowed = SPARE_BLOCKS * BLOCK_ROWS + (all.rows >> 6) + (all.rows >> 8)
    cdef Py_ssize_t room = all.count * BLOCK_ROWS - all.rows
    cdef Py_ssize_t moved, step
    for step in range(TIDY_STEPS if 2 * room < 3 * allowed else MOST_TIDY_STEPS):
        if all.count * BLOCK_ROWS - all.rows <= allowed:
            return
        if all.tidied + 1 >= all.count:
            all.tidied = 0
        block, behind = all.blocks[all.tidied], all.blocks[all.tidied + 1]
        if block.count <= ORDINARY_ROWS:
            moved = min(ORDINARY_ROWS - block.count, behind.count)
            move_rows(block, block.count, behind, 0, moved)
            move_rows(behind, 0, behind, moved, behind.count - moved)
        else:
            moved = -min(block.count - ORDINARY_ROWS, BLOCK_ROWS - behind.count)
            move_rows(behind, -moved, behind, 0, behind.count)
            move_rows(behind, 0, block, block.count + moved, -moved)
        block.count += moved
        behind.count -= moved
        if behind.count == 0:
            drop_block(all, all.tidied + 1)
        else:
            all.firsts[all.tidied + 1] = behind.keys[0]
            all.tidied += 1


cdef inline int append_row(RowBlocks *all, const Row *row) noexcept nogil:
    """Add a row behind all others; -1 when there is no memory."""
    cdef Block *block = NULL if all.count == 0 else all.blocks[all.count - 1]
    if block == NULL or block.count >= ORDINARY_ROWS:
        block = new_block(all, all.count)
        if block == NULL:
            return -1
        all.firsts[all.count - 1] = row.key
    write_row(block, block.count, row)
    block.count += 1
    all.rows += 1
    count_row(all, row.key, row.flags, row.disk_bytes, 1)
    return 0


cdef inline int put_row(RowBlocks *all, const Row *row) noexcept nogil:
    """Add a row, or replace the one with its key; -1 when there is no memory, and then nothing has changed."""
    cdef Py_ssize_t number, position
    cdef Block *block
    cdef Block *upper
    if all.count == 0:
        return append_row(all, row)
    number = last_not_above(all.firsts, all.count, row.key)
    block = all.blocks[number]
    position = first_not_below(block.keys, block.count, row.key)
    if position < block.count and block.keys[position] == row.key:
        count_row(all, row.key, block.flags[position], disk_bytes_at(block, position), -1)
        count_row(all, row.key, row.flags, row.disk_bytes, 1)
        write_row(block, position, row)
        return 0
    if block.count == BLOCK_ROWS:
        if position == BLOCK_ROWS and number == all.count - 1:
            return append_row(all, row)
        upper = new_block(all, number + 1)
        if upper == NULL:
            return -1
        block.count = BLOCK_ROWS >> 1
        upper.count = BLOCK_ROWS - block.count
        move_rows(upper, 0, block, block.count, upper.count)
        all.firsts[number + 1] = upper.keys[0]
        if position > block.count:
            position -= block.count
            block = upper
    move_rows(block, position + 1, block, position, block.count - position)
    write_row(block, position, row)
    block.count += 1
    all.rows += 1
    count_row(all, row.key, row.flags, row.disk_bytes, 1)
    tidy(all)
    return 0


cdef inline bint drop_row(RowBlocks *all, int64_t key) noexcept nogil:
    """Remove the row with a key; whether there was one."""
    cdef Py_ssize_t number, position
    cdef Block *block
    if all.count == 0:
        return False
    number = last_not_above(all.firsts, all.count, key)
    block = all.blocks[number]
    position = first_not_below(block.keys, block.count, key)
    if position == block.count or block.keys[position] != key:
        return False
    count_row(all, key, block.flags[position], disk_bytes_at(block, position), -1)
    all.rows -= 1
    block.count -= 1
    move_rows(block, position, block, position + 1, block.count - position)
    if block.count == 0:
        drop_block(all, number)
    tidy(all)
    return True


cdef inline void free_blocks(RowBlocks *all) noexcept nogil:
    """Give the memory back; the rows are gone."""
    cdef Py_ssize_t number
    for number in range(all.count):
        free(all.blocks[number])
    free(all.blocks)
    free(all.firsts)
    all.blocks, all.firsts = NULL, NULL
    all.count = all.capacity = all.rows = all.tidied = 0
    all.total_bytes = all.footprint = all.onboard_footprint = 0
    all.evictable_footprint = all.evictable_onboard_footprint = 0


cdef inline size_t bytes_held(const RowBlocks *all) noexcept nogil:
    """Memory of all rows, as asked for."""
    return all.count * sizeof(Block) + all.capacity * (sizeof(int64_t) + sizeof(Block *))


cdef inline void copy_keys(const RowBlocks *rows, int64_t *keys) noexcept nogil:
    """Copy all keys, in their order."""
    cdef Py_ssize_t number
    for number in range(rows.count):
        memcpy(keys, rows.blocks[number].keys, rows.blocks[number].count * sizeof(int64_t))
        keys += rows.blocks[number].count
