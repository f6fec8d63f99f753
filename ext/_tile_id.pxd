"""Tile ids to tile keys and back, past Python's descriptors and constructors.

`aerotile.domain.values.tile_key` is the reference. C declarations only; nothing is imported at run time.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from _constants cimport (
    FIRST_FLIGHT_ORDINAL,
    IMPORTED_ORDINAL,
    MAX_ZOOM,
    MORTON_BITS,
    SATELLITE_PROVIDER_ORDINAL,
    VARIANT_BITS,
    VARIANT_MASK,
)
from _morton cimport curve_of, gather, morton, tile_key
from _slots cimport PyObject_TypeCheck, PyType_GenericAlloc, fill_slot, slot, slot_offset


cdef struct TileIdLayout:
    # Borrowed: the module that holds a layout keeps the class and the enumeration alive.
    PyTypeObject *kind
    PyObject *satellite_provider
    PyObject *imported
    PyObject *onboard
    Py_ssize_t zoom_level
    Py_ssize_t x
    Py_ssize_t y
    Py_ssize_t source
    Py_ssize_t flight_id


cdef inline int learn_layout(TileIdLayout *layout, object kind, object sources) except -1:
    """Fill in where instances of `TileId` hold their attributes, and the members of `TileSource`."""
    layout.kind = <PyTypeObject *>kind
    layout.satellite_provider = <PyObject *>sources.SATELLITE_PROVIDER
    layout.imported = <PyObject *>sources.IMPORTED
    layout.onboard = <PyObject *>sources.ONBOARD
    layout.zoom_level = slot_offset(kind, "zoom_level")
    layout.x = slot_offset(kind, "x")
    layout.y = slot_offset(kind, "y")
    layout.source = slot_offset(kind, "source")
    layout.flight_id = slot_offset(kind, "flight_id")
    return 0


cdef inline dict flight_ordinals(tuple flights):
    """The ordinal of each flight, by the integer of its UUID, which is hashed faster than the UUID."""
    return {flight.int: FIRST_FLIGHT_ORDINAL + position for position, flight in enumerate(flights)}


cdef inline int64_t key_of(object tile_id, const TileIdLayout *layout, dict ordinals) except -2:
    """The tile's key; -1 for a flight that `ordinals` does not name. Raises `TypeError`, `ValueError`."""
    cdef PyObject *source
    cdef PyObject *found
    cdef int64_t zoom_level, x, y, ordinal
    if not PyObject_TypeCheck(tile_id, layout.kind):
        raise TypeError(f"tile_id must be of type TileId, got {type(tile_id).__name__}")
    zoom_level = <object>slot(tile_id, layout.zoom_level)
    x = <object>slot(tile_id, layout.x)
    y = <object>slot(tile_id, layout.y)
    if not (0 <= zoom_level <= MAX_ZOOM and 0 <= x < <int64_t>1 << zoom_level and 0 <= y < <int64_t>1 << zoom_level):
        raise ValueError(f"no tile of the grid: {zoom_level}/{x}/{y}")
    source = slot(tile_id, layout.source)
    if source == layout.satellite_provider:
        ordinal = SATELLITE_PROVIDER_ORDINAL
    elif source == layout.imported:
        ordinal = IMPORTED_ORDINAL
    elif source != layout.onboard:
        raise ValueError(f"no source of tiles: {<object>source!r}")
    else:
        found = PyDict_GetItemWithError(ordinals, (<object>slot(tile_id, layout.flight_id)).int)
        if found == NULL:
            return -1
        ordinal = <object>found
    return tile_key(zoom_level, morton(<uint64_t>x, <uint64_t>y), ordinal)


cdef inline object tile_id_of(int64_t key, const TileIdLayout *layout, tuple flights):
    """The tile that a key names. Raises `KeyError` or `ValueError` for a key that names none."""
    cdef int64_t ordinal = key & VARIANT_MASK
    cdef int64_t zoom_level = key >> (MORTON_BITS + VARIANT_BITS)
    cdef uint64_t curve = curve_of(key)
    cdef object tile_id, boxed_zoom, x, y
    cdef PyObject *source
    if ordinal >= FIRST_FLIGHT_ORDINAL + PyTuple_GET_SIZE(flights):
        raise KeyError(f"variant ordinal {ordinal} is not in the table")
    if not 0 <= zoom_level <= MAX_ZOOM or curve >> (2 * zoom_level) != 0:
        raise ValueError(f"the key {key} is beyond the grid")
    boxed_zoom, x, y = zoom_level, gather(curve), gather(curve >> 1)
    tile_id = PyType_GenericAlloc(layout.kind, 0)
    fill_slot(tile_id, layout.zoom_level, boxed_zoom)
    fill_slot(tile_id, layout.x, x)
    fill_slot(tile_id, layout.y, y)
    if ordinal < FIRST_FLIGHT_ORDINAL:
        source = layout.imported if ordinal == IMPORTED_ORDINAL else layout.satellite_provider
        fill_slot(tile_id, layout.source, <object>source)
        fill_slot(tile_id, layout.flight_id, None)
    else:
        fill_slot(tile_id, layout.source, <object>layout.onboard)
        fill_slot(tile_id, layout.flight_id, <object>PyTuple_GET_ITEM(flights, ordinal - FIRST_FLIGHT_ORDINAL))
    return tile_id
