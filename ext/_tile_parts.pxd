"""A tile id's parts in C, and the path of its file below a store's root.

Unlike a tile key, the parts name a flight without a table of flights. C declarations only; nothing is imported at
run time.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, strlen

from _constants cimport MAX_ZOOM
from _slots cimport PyObject_TypeCheck, slot, slot_offset


cdef extern from "Python.h":
    int PyLong_Check(object value)
    int PyLong_CheckExact(object value)
    long PyLong_AsLong(object value) except? -1
    uint64_t PyLong_AsUnsignedLongLong(object value) except? 0xffffffffffffffff
    uint64_t PyLong_AsUnsignedLongLongMask(object value) except? 0xffffffffffffffff


cdef enum:
    MAX_SOURCES = 4
    TILE_PATH_BYTES = 128  # more than any path needs: source, flight, zoom, column, row


cdef struct TilePartsLayout:
    PyTypeObject *tile_id
    PyTypeObject *uuid
    Py_ssize_t zoom_level
    Py_ssize_t x
    Py_ssize_t y
    Py_ssize_t source
    Py_ssize_t flight_id
    Py_ssize_t uuid_int
    int sources
    PyObject *source_objects[MAX_SOURCES]
    const char *source_names[MAX_SOURCES]


cdef struct TileParts:
    long zoom_level
    long x
    long y
    int source           # its position in the enum
    bint has_flight
    uint64_t flight_high
    uint64_t flight_low


cdef inline int learn_parts_layout(TilePartsLayout *layout, type tile_id, object sources, type uuid) except -1:
    """Look the slots up. The classes and names stay alive for good, as their modules do."""
    global_references = [tile_id, uuid]
    layout.tile_id = <PyTypeObject *>tile_id
    layout.uuid = <PyTypeObject *>uuid
    layout.zoom_level = slot_offset(tile_id, "zoom_level")
    layout.x = slot_offset(tile_id, "x")
    layout.y = slot_offset(tile_id, "y")
    layout.source = slot_offset(tile_id, "source")
    layout.flight_id = slot_offset(tile_id, "flight_id")
    layout.uuid_int = slot_offset(uuid, "int")
    layout.sources = 0
    for source in sources:
        if layout.sources == MAX_SOURCES:
            raise TypeError(f"more than {MAX_SOURCES} sources")
        name = source.value.encode("ascii")
        global_references.extend([source, name])
        layout.source_objects[layout.sources] = <PyObject *>source
        layout.source_names[layout.sources] = <const char *>(<bytes>name)
        layout.sources += 1
    Py_INCREF(global_references)
    return 0


cdef inline long whole_in_slot(object owner, Py_ssize_t offset, long limit) except -1:
    """The number below `limit` that the slot holds."""
    cdef PyObject *value = slot(owner, offset)
    cdef long number
    if not PyLong_Check(<object>value):
        raise TypeError("a TileId's zoom level, x and y are whole numbers")
    number = PyLong_AsLong(<object>value)
    if number < 0 or number >= limit:
        raise ValueError(f"{number} is not within 0..{limit - 1}")
    return number


cdef inline int parts_of(const TilePartsLayout *layout, object tile_id, TileParts *parts) except -1:
    """Read a tile id. Raises `TypeError` for anything else; runs no Python code of the caller."""
    cdef PyObject *value
    cdef int position
    if not PyObject_TypeCheck(tile_id, layout.tile_id):
        raise TypeError(f"tile_id must be of type TileId, got {type(tile_id).__name__}")
    parts.zoom_level = whole_in_slot(tile_id, layout.zoom_level, MAX_ZOOM + 1)
    parts.x = whole_in_slot(tile_id, layout.x, 1L << parts.zoom_level)
    parts.y = whole_in_slot(tile_id, layout.y, 1L << parts.zoom_level)
    value = slot(tile_id, layout.source)
    for position in range(layout.sources):
        if value == layout.source_objects[position]:
            break
    else:
        raise TypeError("a TileId's source is a TileSource")
    parts.source = position
    value = slot(tile_id, layout.flight_id)
    parts.has_flight = value != <PyObject *>None
    parts.flight_high = 0
    parts.flight_low = 0
    if parts.has_flight:
        if not PyObject_TypeCheck(<object>value, layout.uuid):
            raise TypeError("a TileId's flight is a UUID")
        value = slot(<object>value, layout.uuid_int)
        if not PyLong_CheckExact(<object>value):
            raise TypeError("a UUID's int is a whole number")
        parts.flight_low = PyLong_AsUnsignedLongLongMask(<object>value)
        parts.flight_high = PyLong_AsUnsignedLongLong(<object>value >> 64)
    return 0


cdef inline uint64_t position_of(const TileParts *parts) noexcept nogil:
    """Zoom, column, row, source and whether there is a flight, as one number: with the flight, the whole id."""
    cdef uint64_t position = parts.zoom_level
    position = position << MAX_ZOOM | <uint64_t>parts.x
    position = position << MAX_ZOOM | <uint64_t>parts.y
    return position << 3 | <uint64_t>parts.source << 1 | <uint64_t>parts.has_flight


cdef inline char *put_number(char *end, long number) noexcept nogil:
    cdef char digits[24]
    cdef int count = 0
    while True:
        digits[count] = <char>(c'0' + number % 10)
        count += 1
        number //= 10
        if number == 0:
            break
    while count:
        count -= 1
        end[0] = digits[count]
        end += 1
    return end


cdef inline char *put_hex(char *end, uint64_t value, int digits) noexcept nogil:
    """The highest `digits` of a 64-bit number."""
    cdef int position
    for position in range(digits):
        end[0] = b"0123456789abcdef"[value >> 60]
        end += 1
        value <<= 4
    return end


cdef inline int put_path(const TilePartsLayout *layout, const TileParts *parts, char *path) noexcept nogil:
    """The tile's path below a store's root, as `layout.tile_path` in adapters/filesystem has it."""
    cdef const char *name = layout.source_names[parts.source]
    cdef char *end = path
    memcpy(end, name, strlen(name))
    end += strlen(name)
    end[0] = c'/'
    end += 1
    if parts.has_flight:
        end = put_hex(end, parts.flight_high, 8)
        end[0] = c'-'
        end = put_hex(end + 1, parts.flight_high << 32, 4)
        end[0] = c'-'
        end = put_hex(end + 1, parts.flight_high << 48, 4)
        end[0] = c'-'
        end = put_hex(end + 1, parts.flight_low, 4)
        end[0] = c'-'
        end = put_hex(end + 1, parts.flight_low << 16, 12)
        end[0] = c'/'
        end += 1
    end = put_number(end, parts.zoom_level)
    end[0] = c'/'
    end = put_number(end + 1, parts.x)
    end[0] = c'/'
    end = put_number(end + 1, parts.y)
    memcpy(end, b".jpg", 5)
    return 0
