# cython: cdivision=True
"""Boxes of degrees as lines of the finest tile grid, so that whether a tile touches a box is whole numbers.

The edges of every tile of every zoom lie on the `1 << MAX_ZOOM` lines, and one more, of the finest grid. The
lines are where `domain.values.tile_grid.tile_bbox` puts them, to the last bit: a box's edge that is equal to a tile's
counts as touching, and one that differs by the smallest possible number does not.
"""

from libc.math cimport M_PI, asinh, ceil, floor, tan

from _grid_positions cimport EAST_OF_ANTIMERIDIAN, LAST_LINE, SOUTH_OF_NORTH_POLE, Axis, position

import numpy as np

cdef double estimated_line(Axis axis, double degrees) noexcept nogil:
    """The line at a position, give or take rounding; cut to the grid."""
    cdef double line
    if axis == EAST_OF_ANTIMERIDIAN:
        line = (degrees + 180.0) / 360.0 * LAST_LINE
    else:
        line = (1 + asinh(tan(degrees * (M_PI / 180.0))) / M_PI) / 2 * LAST_LINE
    return min(max(line, 0.0), <double>LAST_LINE)


cdef int first_line(Axis axis, double degrees) noexcept nogil:
    """The first line at or beyond a position; one more than the last line when none is."""
    cdef int line = <int>ceil(estimated_line(axis, degrees))
    while line > 0 and position(axis, line - 1) >= degrees:
        line -= 1
    while line <= LAST_LINE and position(axis, line) < degrees:
        line += 1
    return line


cdef int last_line(Axis axis, double degrees) noexcept nogil:
    """The last line at or before a position; -1 when none is."""
    cdef int line = <int>floor(estimated_line(axis, degrees))
    while line < LAST_LINE and position(axis, line + 1) <= degrees:
        line += 1
    while line >= 0 and position(axis, line) > degrees:
        line -= 1
    return line


def touched_lines(boxes not None):
    """The lines between which a tile touches each box: int32 (n, 4) of west, north, east, south.

    `boxes` is float64 (n, 4) of min_lat, min_lon, max_lat, max_lon in degrees. A tile whose edges lie on the
    lines (left, top, right, bottom) touches the box when left <= east, right >= west, top <= south and
    bottom >= north; then, and only then, do their `Bbox` intersect. A box that lies between two lines has its
    east one before its west. Raises `ValueError` for other shapes, types and for degrees off the globe.
    """
    cdef const double[:, :] corners = boxes
    if corners.shape[1] != 4:
        raise ValueError(f"boxes must have 4 columns, got {corners.shape[1]}")
    lines = np.empty((corners.shape[0], 4), np.int32)
    cdef int[:, ::1] found = lines
    cdef Py_ssize_t row
    for row in range(corners.shape[0]):
        if not (
            -90 <= corners[row, 0] <= corners[row, 2] <= 90 and -180 <= corners[row, 1] <= corners[row, 3] <= 180
        ):
            raise ValueError(f"boxes must lie on the globe, got {tuple(boxes[row])!r}")
        found[row, 0] = first_line(EAST_OF_ANTIMERIDIAN, corners[row, 1])
        found[row, 1] = first_line(SOUTH_OF_NORTH_POLE, -corners[row, 2])
        found[row, 2] = last_line(EAST_OF_ANTIMERIDIAN, corners[row, 3])
        found[row, 3] = last_line(SOUTH_OF_NORTH_POLE, -corners[row, 0])
    return lines
