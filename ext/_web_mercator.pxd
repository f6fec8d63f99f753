"""Which cells of the grid cover a box: `GridRange.covering` of `aerotile.domain.values.tile_grid`, to the last bit.

The operations are those of the reference, one by one and in its order; `sin` and `log` are the ones that Python
itself calls. Compile without contraction of floating-point expressions. C only.
"""

from libc.math cimport M_PI, floor, log, sin
from libc.stdint cimport int64_t, uint64_t

from _constants cimport MAX_LATITUDE
from _morton cimport Rectangle, rectangle



cdef inline double within_projection(double lat) noexcept nogil:
    """A latitude cut to the edge of the projection."""
    return max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))


cdef inline uint64_t cell(double position, int64_t size) noexcept nogil:
    """The cell at a position along an axis; the last one includes the edge of the world."""
    return <uint64_t>min(max(<int64_t>floor(position), 0), size - 1)


cdef inline uint64_t column_of(double lon, int64_t size) noexcept nogil:
    """The column at a longitude in degrees."""
    return cell((lon / 360.0 + 0.5) * size, size)


cdef inline uint64_t row_of(double lat, int64_t size) noexcept nogil:
    """The row at a latitude in degrees."""
    cdef double sine = sin(lat * (M_PI / 180.0))
    return cell((0.5 - log((1 + sine) / (1 - sine)) / (4 * M_PI)) * size, size)


cdef inline Rectangle cells_covering(
    double min_lat, double min_lon, double max_lat, double max_lon, int64_t zoom_level
) noexcept nogil:
    """The cells of one zoom that cover a point of a box in degrees."""
    cdef int64_t size = <int64_t>1 << zoom_level
    return rectangle(
        column_of(min_lon, size),
        row_of(within_projection(max_lat), size),
        column_of(max_lon, size),
        row_of(within_projection(min_lat), size),
    )
