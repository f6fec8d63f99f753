"""Where the lines of the finest grid lie, to the last bit where `domain.values.tile_grid` puts them. C only."""

from libc.math cimport M_PI, atan, sinh

from _constants cimport MAX_ZOOM

cdef enum Axis:
    EAST_OF_ANTIMERIDIAN
    SOUTH_OF_NORTH_POLE

cdef enum:
    LAST_LINE = 1 << MAX_ZOOM


cdef inline double position(Axis axis, int line) noexcept nogil:
    """Where a line lies, in degrees that grow with the line: the longitude, or the negated latitude.

    The operations of `domain.values.tile_grid.north_west_corner` in its order, by the same C library.
    """
    if axis == EAST_OF_ANTIMERIDIAN:
        return <double>line / LAST_LINE * 360.0 - 180.0
    return -(atan(sinh(M_PI * (1 - 2.0 * line / LAST_LINE))) * (180.0 / M_PI))
