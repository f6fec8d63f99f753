# cython: boundscheck=False, wraparound=False
"""Which sectors, and which lines of their polygons, matter in the cells of one level of a `SectorGrid`."""

from libc.stdint cimport int64_t, uint8_t

from _constants cimport MAX_ZOOM, ROUNDING
from _grid_positions cimport EAST_OF_ANTIMERIDIAN, SOUTH_OF_NORTH_POLE, position
from _polygon_lines cimport Box, Line, line_at, may_touch, separates, touches

import numpy as np


cdef bint all_within(const int64_t[::1] numbers, int64_t limit) noexcept nogil:
    """Whether all lie in 0..limit - 1."""
    cdef Py_ssize_t k
    for k in range(numbers.shape[0]):
        if not 0 <= numbers[k] < limit:
            return False
    return True


cdef bint all_begin_lines(const int[::1] lines, Py_ssize_t points) noexcept nogil:
    """Whether each is the number of a point that another one follows."""
    cdef Py_ssize_t k
    for k in range(lines.shape[0]):
        if not 0 <= lines[k] < points - 1:
            return False
    return True


def narrowed(
    const int[:, ::1] windows not None,
    const double[:, ::1] points not None,
    int level,
    const int64_t[::1] columns not None,
    const int64_t[::1] rows not None,
    const int64_t[::1] settled not None,
    const int64_t[::1] cell not None,
    const int64_t[::1] source not None,
    const int64_t[::1] sector not None,
    const uint8_t[::1] inside not None,
    const int64_t[::1] starts not None,
    const int[::1] lines not None,
    bint from_outside,
):
    """What matters in the cells of a level: new `settled, firsts, cell, sector, inside, starts, lines`.

    `windows` and `points` as in `SectorGrid`. Cell c lies at `columns[c], rows[c]` of its level, and every tile in
    it touches sector `settled[c]`. Candidate k says that in cell `cell[k]`, ascending, candidate `source[k]` of the
    cell around it may matter: sector `sector[s]`, ascending within a cell, with `lines[starts[s]:starts[s + 1]]`,
    none for a box, and whether its polygon holds the south-western corner of that cell. `from_outside`: the cell
    around is all of the plane. `firsts` are the first sectors that touch each cell. Raises `ValueError` for arrays
    that don't fit together.
    """
    cdef Py_ssize_t count = cell.shape[0]
    cdef Py_ssize_t room = 0
    cdef Py_ssize_t k, i, s
    if not (
        0 <= level <= MAX_ZOOM
        and windows.shape[1] == 4
        and points.shape[1] == 2
        and columns.shape[0] == rows.shape[0] == settled.shape[0]
        and source.shape[0] == count
        and inside.shape[0] == sector.shape[0] == starts.shape[0] - 1
        and all_within(columns, 1 << level)
        and all_within(rows, 1 << level)
        and all_within(cell, columns.shape[0])
        and all_within(source, sector.shape[0])
        and all_within(sector, windows.shape[0])
        and all_within(starts, lines.shape[0] + 1)
        and all_begin_lines(lines, points.shape[0])
    ):
        raise ValueError("the arrays of sector cells don't fit together")
    for s in range(sector.shape[0]):
        if starts[s] > starts[s + 1]:
            raise ValueError("the lines of sector cells must lie in the order of their sectors")
    for k in range(count):
        room += starts[source[k] + 1] - starts[source[k]]
    new_settled, new_firsts = np.array(settled), np.array(settled)
    new_cell, new_sector, new_starts = (np.empty(count + more, np.int64) for more in (0, 0, 1))
    new_inside, new_lines = np.empty(count, np.uint8), np.empty(room, np.int32)
    cdef int64_t[::1] out_settled = new_settled
    cdef int64_t[::1] out_firsts = new_firsts
    cdef int64_t[::1] out_cell = new_cell
    cdef int64_t[::1] out_sector = new_sector
    cdef int64_t[::1] out_starts = new_starts
    cdef uint8_t[::1] out_inside = new_inside
    cdef int[::1] out_lines = new_lines
    cdef Py_ssize_t kept = 0
    cdef Py_ssize_t listed = 0
    cdef int64_t here = -1
    cdef int64_t number
    cdef int left = 0
    cdef int top = 0
    cdef int size = 1 << (MAX_ZOOM - level)
    cdef int around_left, around_bottom
    cdef double from_lon = -181.0
    cdef double from_lat = -91.0
    cdef Box box = Box(0.0, 0.0, 0.0, 0.0)
    cdef Line line
    cdef bint touching, holds
    out_starts[0] = 0
    with nogil:
        for k in range(count):
            s, number = source[k], sector[source[k]]
            if cell[k] != here:
                here = cell[k]
                left, top = <int>(columns[here] * size), <int>(rows[here] * size)
                box.west, box.east = position(EAST_OF_ANTIMERIDIAN, left), position(EAST_OF_ANTIMERIDIAN, left + size)
                box.north, box.south = (
                    -position(SOUTH_OF_NORTH_POLE, top), -position(SOUTH_OF_NORTH_POLE, top + size)
                )
                if not from_outside:
                    around_left = left - left % (2 * size)
                    around_bottom = top - top % (2 * size) + 2 * size
                    from_lon = position(EAST_OF_ANTIMERIDIAN, around_left)
                    from_lat = -position(SOUTH_OF_NORTH_POLE, around_bottom)
            if number >= out_settled[here] or not (
                windows[number, 0] <= left + size and windows[number, 1] <= top + size
                and windows[number, 2] >= left and windows[number, 3] >= top
            ):
                continue
            out_starts[kept] = listed
            if starts[s] == starts[s + 1]:
                touching = holds = True
                if (
                    windows[number, 0] <= left + 1 and windows[number, 1] <= top + 1
                    and windows[number, 2] >= left + size - 1 and windows[number, 3] >= top + size - 1
                ):
                    out_settled[here] = number
            else:
                touching, holds = False, inside[s]
                for i in range(starts[s], starts[s + 1]):
                    line = line_at(&points[0, 0], lines[i])
                    holds ^= separates(&line, from_lon, from_lat, box.west, box.south)
                    if may_touch(&line, &box):
                        out_lines[listed] = lines[i]
                        listed += 1
                        touching |= touches(&line, &box, ROUNDING)
                touching |= holds
                if listed == out_starts[kept]:
                    if not holds:
                        continue
                    out_settled[here] = number
            if touching and number < out_firsts[here]:
                out_firsts[here] = number
            if number < out_settled[here]:
                out_cell[kept], out_sector[kept], out_inside[kept] = here, number, holds
                kept += 1
        out_starts[kept] = listed
    return (
        new_settled,
        new_firsts,
        new_cell[:kept].copy(),
        new_sector[:kept].copy(),
        new_inside[:kept].copy(),
        new_starts[: kept + 1].copy(),
        new_lines[:listed].copy(),
    )
