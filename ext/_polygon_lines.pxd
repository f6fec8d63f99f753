"""Lines of polygons and boxes of tiles: `aerotile.domain.values.shapes`, to the last bit.

The operations are those of the reference, one by one and in its order. C only; nothing is imported at run time.
"""

cimport cython

from _constants cimport ROUNDING

cdef struct Box:
    double west
    double south
    double east
    double north


cdef struct Line:
    double lon_a
    double lat_a
    double lon_b
    double lat_b


cdef inline Line line_at(const double *points, Py_ssize_t number) noexcept nogil:
    """The line from a point to the next one; `points` holds longitudes and latitudes in turn."""
    cdef Line line
    line.lon_a, line.lat_a = points[2 * number], points[2 * number + 1]
    line.lon_b, line.lat_b = points[2 * number + 2], points[2 * number + 3]
    return line


cdef inline bint passes(const Line *line, double latitude) noexcept nogil:
    return (line.lat_a > latitude) != (line.lat_b > latitude)


@cython.cdivision(True)  # a line that passes a latitude does not run along it
cdef inline double crossing(const Line *line, double latitude) noexcept nogil:
    cdef double lon = line.lon_a + (latitude - line.lat_a) / (line.lat_b - line.lat_a) * (line.lon_b - line.lon_a)
    return min(max(lon, min(line.lon_a, line.lon_b)), max(line.lon_a, line.lon_b))


cdef inline bint touches(const Line *line, const Box *box, double rounding) noexcept nogil:
    """Whether the reach of a line in the box's band shares a longitude with the box."""
    cdef double low = min(line.lat_a, line.lat_b)
    cdef double high = max(line.lat_a, line.lat_b)
    cdef double first = min(line.lon_a, line.lon_b)
    cdef double last = max(line.lon_a, line.lon_b)
    cdef double west = 1000.0
    cdef double east = -1000.0
    cdef double lon
    if high < box.south or low > box.north or last < box.west or first > box.east:
        return False
    if box.south <= line.lat_a <= box.north:
        west, east = min(west, line.lon_a), max(east, line.lon_a)
    if box.south <= line.lat_b <= box.north:
        west, east = min(west, line.lon_b), max(east, line.lon_b)
    if low != high:
        if low <= box.south <= high:
            lon = crossing(line, box.south)
            west, east = min(west, lon), max(east, lon)
        if low <= box.north <= high:
            lon = crossing(line, box.north)
            west, east = min(west, lon), max(east, lon)
    return max(west - rounding, first) <= box.east and box.west <= min(east + rounding, last)


cdef inline bint may_touch(const Line *line, const Box *box) noexcept nogil:
    """Whether a line may touch a tile in the box, rounding included, and so a little more often."""
    return touches(line, box, 2 * ROUNDING)


cdef inline bint is_above(const Line *line, double lon, double lat) noexcept nogil:
    """Whether a line that leads from one side of a longitude to the other passes it above a point there."""
    if line.lat_a > lat and line.lat_b > lat:
        return True
    if line.lat_a <= lat and line.lat_b <= lat:
        return False
    return ((line.lon_b > line.lon_a) == (line.lat_b > line.lat_a)) != (crossing(line, lat) > lon)


cdef inline bint separates(
    const Line *line, double from_lon, double from_lat, double to_lon, double to_lat
) noexcept nogil:
    """Whether a line crosses the way between two points that leads along a meridian, then along a parallel.

    Over all lines of a ring that the way meets, the parity of the crossings is exact, whatever rounding does: on
    which side of a line the bend lies is asked once for each leg, by the same arithmetic, so that a wrong answer
    counts twice.
    """
    cdef bint crossed = False
    cdef double lon
    if (line.lon_a > from_lon) != (line.lon_b > from_lon):
        crossed = is_above(line, from_lon, from_lat) != is_above(line, from_lon, to_lat)
    if passes(line, to_lat):
        lon = crossing(line, to_lat)
        crossed ^= (lon > from_lon) != (lon > to_lon)
    return crossed
