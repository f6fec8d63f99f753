"""Queries over many rows of the catalogue: those in a rectangle of the grid, and the least recently used.

C only; nothing is imported at run time. The caller excludes changes while a query runs.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from _constants cimport EVICTABLE, FIRST_FLIGHT_ORDINAL, VARIANT_MASK
from _morton cimport Rectangle, curve_of, holds, next_held, tile_key
from _row_blocks cimport Block, Row, RowBlocks, disk_bytes_at, first_not_below, last_not_above, prefetch_keys, read_row


cdef struct Run:
    # Rows of one block that lie side by side.
    Block *block
    Py_ssize_t start
    Py_ssize_t count


cdef struct Runs:
    Run *runs
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t rows


cdef inline int add_run(Runs *found, Block *block, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    """Note a run; -1 when there is no memory."""
    cdef void *grown
    if found.count == found.capacity:
        grown = realloc(found.runs, (2 * found.capacity + 64) * sizeof(Run))
        if grown == NULL:
            return -1
        found.runs = <Run *>grown
        found.capacity = 2 * found.capacity + 64
    found.runs[found.count].block = block
    found.runs[found.count].start = start
    found.runs[found.count].count = count
    found.count += 1
    found.rows += count
    return 0


cdef inline Py_ssize_t block_behind(const RowBlocks *all, Py_ssize_t number, int64_t key) noexcept nogil:
    """The block behind `number` that a walk to `key` goes on in: near ones are looked at first."""
    cdef Py_ssize_t step = 1
    number += 1
    while number + step < all.count and all.firsts[number + step] <= key:
        number += step
        step <<= 1
    return number + last_not_above(&all.firsts[number], min(step, all.count - number), key)


cdef inline int find_runs(
    const RowBlocks *all, int64_t zoom_level, const Rectangle *cells, Runs *found
) noexcept nogil:
    """All rows of one zoom in a rectangle, along the Z-curve; -1 when there is no memory.

    Where the curve leaves the rectangle, the walk jumps to where it enters it again.
    """
    cdef int64_t key = tile_key(zoom_level, cells.first, 0)
    cdef int64_t last = tile_key(zoom_level, cells.last, VARIANT_MASK)
    cdef Py_ssize_t number, position, start
    cdef Block *block
    if all.count == 0:
        return 0
    number = last_not_above(all.firsts, all.count, key)
    block = all.blocks[number]
    prefetch_keys(block)
    position = first_not_below(block.keys, block.count, key)
    while True:
        if position == block.count:
            number += 1
            if number == all.count:
                return 0
            block = all.blocks[number]
            position = 0
        key = block.keys[position]
        if key > last:
            return 0
        start = position
        while position < block.count and block.keys[position] <= last and holds(cells, curve_of(block.keys[position])):
            position += 1
        if position > start:
            if add_run(found, block, start, position - start) != 0:
                return -1
            continue
        key = tile_key(zoom_level, next_held(cells, curve_of(key)), 0)
        if block.keys[block.count - 1] >= key:
            position += first_not_below(&block.keys[position], block.count - position, key)
        elif number + 1 == all.count:
            return 0
        else:
            number = block_behind(all, number, key)
            block = all.blocks[number]
            prefetch_keys(block)
            position = first_not_below(block.keys, block.count, key)


cdef inline Py_ssize_t blocks_between(const RowBlocks *all, int64_t zoom_level, const Rectangle *cells) noexcept nogil:
    """How many blocks lie between the corners of a rectangle on the curve."""
    if all.count == 0:
        return 0
    return last_not_above(all.firsts, all.count, tile_key(zoom_level, cells.last, VARIANT_MASK)) - (
        last_not_above(all.firsts, all.count, tile_key(zoom_level, cells.first, 0))
    )


cdef inline void copy_runs(const Runs *found, Row *rows) noexcept nogil:
    """Copy the rows of all runs."""
    cdef Py_ssize_t number, position
    for number in range(found.count):
        for position in range(found.runs[number].count):
            read_row(found.runs[number].block, found.runs[number].start + position, rows)
            rows += 1


cdef struct Candidate:
    int64_t accessed_us
    int64_t key
    int64_t disk_bytes


cdef inline bint is_older(const Candidate *one, const Candidate *other) noexcept nogil:
    """Whether a tile was used before another; of tiles used at the same time, the one with the lower key."""
    if one.accessed_us != other.accessed_us:
        return one.accessed_us < other.accessed_us
    return one.key < other.key


cdef inline void sink(Candidate *heap, Py_ssize_t count, Py_ssize_t position) noexcept nogil:
    """Let one candidate of a heap, whose newest is on top, fall to where it belongs."""
    cdef Candidate sinking = heap[position]
    cdef Py_ssize_t child
    while 2 * position + 1 < count:
        child = 2 * position + 1
        if child + 1 < count and is_older(&heap[child], &heap[child + 1]):
            child += 1
        if not is_older(&sinking, &heap[child]):
            break
        heap[position] = heap[child]
        position = child
    heap[position] = sinking


cdef inline Py_ssize_t find_oldest(
    const RowBlocks *all, Candidate *oldest, Py_ssize_t limit, bint onboard_only
) noexcept nogil:
    """Fill in the `limit` (1 or more) evictable tiles that were used least recently, in order; how many."""
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t number, position
    cdef Block *block
    cdef Candidate candidate
    for number in range(all.count):
        block = all.blocks[number]
        for position in range(block.count):
            if not block.flags[position] & EVICTABLE:
                continue
            if onboard_only and (block.keys[position] & VARIANT_MASK) < FIRST_FLIGHT_ORDINAL:
                continue
            if count == limit and block.accessed_us[position] > oldest[0].accessed_us:
                continue
            candidate.accessed_us = block.accessed_us[position]
            candidate.key = block.keys[position]
            candidate.disk_bytes = disk_bytes_at(block, position)
            if count < limit:
                oldest[count] = candidate
                count += 1
                if count == limit:
                    make_heap(oldest, count)
            elif is_older(&candidate, &oldest[0]):
                oldest[0] = candidate
                sink(oldest, count, 0)
    if count < limit:
        make_heap(oldest, count)
    for position in range(count - 1, 0, -1):
        candidate = oldest[position]
        oldest[position] = oldest[0]
        oldest[0] = candidate
        sink(oldest, position, 0)
    return count


cdef inline void make_heap(Candidate *heap, Py_ssize_t count) noexcept nogil:
    """Order candidates as a heap."""
    cdef Py_ssize_t position
    for position in range((count >> 1) - 1, -1, -1):
        sink(heap, count, position)
