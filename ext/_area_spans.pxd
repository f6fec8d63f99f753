"""Which tiles boxes and circles touch, as spans of columns: `aerotile.domain.values.areas`, to the last bit.

The operations are those of the reference, one by one and in its order. C only; nothing is imported at run time.
"""

from libc.math cimport M_PI, acos, asin, atan, ceil, cos, floor, sin, sinh
from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from _constants cimport EARTH_RADIUS_M, MAX_LATITUDE
from _web_mercator cimport row_of

cdef struct Span:
    int64_t y
    int64_t min_x
    int64_t max_x


cdef struct Spans:
    # Ascending by y.
    Span *spans
    Py_ssize_t count
    Py_ssize_t capacity


cdef struct Shape:
    # A circle where `is_circle`, else a box; degrees and metres.
    bint is_circle
    double lat
    double lon
    double radius_m
    double south
    double north
    double west
    double east


cdef inline int add_span(Spans *spans, int64_t y, int64_t min_x, int64_t max_x) noexcept nogil:
    """Note a span; -1 when there is no memory."""
    cdef void *grown
    if spans.count == spans.capacity:
        grown = realloc(spans.spans, (2 * spans.capacity + 64) * sizeof(Span))
        if grown == NULL:
            return -1
        spans.spans = <Span *>grown
        spans.capacity = 2 * spans.capacity + 64
    spans.spans[spans.count].y = y
    spans.spans[spans.count].min_x = min_x
    spans.spans[spans.count].max_x = max_x
    spans.count += 1
    return 0


cdef inline double radians(double degrees) noexcept nogil:
    return degrees * (M_PI / 180.0)


cdef inline double degrees(double radians) noexcept nogil:
    return radians * (180.0 / M_PI)


cdef inline double northern_edge(int64_t y, int64_t size) noexcept nogil:
    """Latitude in degrees of a row's northern edge."""
    cdef double latitude = degrees(atan(sinh(M_PI * (1 - 2 * <double>y / size))))
    return max(-90.0, min(90.0, latitude))


cdef inline double eastern_edge(int64_t x, int64_t size) noexcept nogil:
    return <double>(x + 1) / size * 360.0 - 180.0


cdef inline int64_t first_column(double west, int64_t size) noexcept nogil:
    """The westernmost column whose eastern edge is at `west` or beyond."""
    cdef int64_t x = min(max(<int64_t>ceil((west / 360.0 + 0.5) * size) - 1, 0), size - 1)
    while x > 0 and eastern_edge(x - 1, size) >= west:
        x -= 1
    while eastern_edge(x, size) < west:
        x += 1
    return x


cdef inline int64_t last_column(double east, int64_t size) noexcept nogil:
    """The easternmost column whose western edge is at `east` or before."""
    cdef int64_t x = min(max(<int64_t>floor((east / 360.0 + 0.5) * size), 0), size - 1)
    while x < size - 1 and eastern_edge(x, size) <= east:
        x += 1
    while eastern_edge(x - 1, size) > east:
        x -= 1
    return x


cdef inline int add_longitudes(Spans *spans, int64_t y, int64_t size, double west, double east) noexcept nogil:
    return add_span(spans, y, first_column(west, size), last_column(east, size))


cdef inline double half_width_at(const Shape *shape, double latitude) noexcept nogil:
    cdef double centre = radians(shape.lat)
    cdef double angle = shape.radius_m / EARTH_RADIUS_M
    cdef double parallel = radians(latitude)
    cdef double across = cos(centre) * cos(parallel)
    cdef double along = cos(angle) - sin(centre) * sin(parallel)
    if along <= -across:
        return 180.0
    return degrees(acos(min(1.0, along / across)))


cdef inline double half_width(const Shape *shape, double south, double north) noexcept nogil:
    """How far east and west of its centre a circle reaches in a band of latitudes; negative: not at all."""
    cdef double centre = radians(shape.lat)
    cdef double angle = shape.radius_m / EARTH_RADIUS_M
    cdef double touching
    south, north = max(south, shape.south), min(north, shape.north)
    if south > north:
        return -1.0
    if shape.south > -90.0 and shape.north < 90.0:
        touching = degrees(asin(sin(centre) / cos(angle)))
        if south <= touching <= north:
            return degrees(asin(min(1.0, sin(angle) / cos(centre))))
    return max(half_width_at(shape, south), half_width_at(shape, north))


cdef inline int add_circle_row(
    Spans *spans, const Shape *shape, int64_t y, int64_t size, double south, double north
) noexcept nogil:
    """The spans of row `y`, in whose band a circle has a point; -1 when there is no memory."""
    cdef double west, east
    cdef double width = half_width(shape, south, north)
    if width < 0.0:
        return 0
    if width >= 180.0:
        return add_longitudes(spans, y, size, -180.0, 180.0)
    west, east = shape.lon - width, shape.lon + width
    if west < -180.0:
        if add_longitudes(spans, y, size, -180.0, east) != 0:
            return -1
        return add_longitudes(spans, y, size, west + 360.0, 180.0)
    if east > 180.0:
        if add_longitudes(spans, y, size, -180.0, east - 360.0) != 0:
            return -1
        return add_longitudes(spans, y, size, west, 180.0)
    if add_longitudes(spans, y, size, west, east) != 0:
        return -1
    if west == -180.0 and add_longitudes(spans, y, size, 180.0, 180.0) != 0:
        return -1
    if east == 180.0 and add_longitudes(spans, y, size, -180.0, -180.0) != 0:
        return -1
    return 0


cdef inline int add_box(Spans *spans, const Shape *shape, int64_t size, int64_t first, int64_t last) noexcept nogil:
    """The spans of a box, one for each row; its latitudes are looked at for the three first and last rows alone."""
    cdef int64_t min_x = first_column(shape.west, size)
    cdef int64_t max_x = last_column(shape.east, size)
    cdef int64_t y
    for y in range(first, last + 1):
        if first + 2 < y < last - 2 or (
            northern_edge(y, size) >= shape.south and northern_edge(y + 1, size) <= shape.north
        ):
            if add_span(spans, y, min_x, max_x) != 0:
                return -1
    return 0


cdef inline int add_shape(Spans *spans, const Shape *shape, int64_t size) noexcept nogil:
    """The tiles of a grid of `size` rows that a shape touches; -1 when there is no memory."""
    cdef int64_t y, last
    cdef double south, north
    if shape.north < -MAX_LATITUDE or shape.south > MAX_LATITUDE:
        return 0
    y = max(0, <int64_t>row_of(min(shape.north, MAX_LATITUDE), size) - 1)
    last = min(size - 1, <int64_t>row_of(max(shape.south, -MAX_LATITUDE), size) + 1)
    if not shape.is_circle:
        return add_box(spans, shape, size, y, last)
    north = northern_edge(y, size)
    while y <= last:
        south = northern_edge(y + 1, size)
        if north >= shape.south and south <= shape.north:
            if add_circle_row(spans, shape, y, size, south, north) != 0:
                return -1
        y, north = y + 1, south
    return 0
