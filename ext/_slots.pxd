"""Attributes from `__slots__`, read and written by their offset in an object.

For values of the domain on the hot path: an attribute costs a nanosecond, and an object is made from facts that
are known to be valid without running its constructor. C declarations only; nothing is imported at run time.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

cdef extern from *:
    """
    #include <structmember.h>

    /* Where an attribute from `__slots__` lies in its object; -1 for any other attribute. */
    static Py_ssize_t aerotile_slot_offset(PyObject *descriptor) {
        PyMemberDef *member;
        if (Py_TYPE(descriptor) != &PyMemberDescr_Type) return -1;
        member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? (Py_ssize_t)member->offset : -1;
    }
    """
    Py_ssize_t aerotile_slot_offset(object descriptor) noexcept

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *kind, Py_ssize_t items)
    bint PyObject_TypeCheck(object value, PyTypeObject *kind) noexcept


cdef inline Py_ssize_t slot_offset(object kind, str name) except -1:
    """Where instances of `kind`, and of its subclasses, hold an attribute. Raises `TypeError` if in no slot."""
    cdef Py_ssize_t offset = aerotile_slot_offset(getattr(kind, name))
    if offset < 0:
        raise TypeError(f"{kind.__name__}.{name} lies in no slot")
    return offset


cdef inline PyObject *slot(object value, Py_ssize_t offset) except NULL:
    """The attribute at an offset, borrowed. Raises `AttributeError` when it was never set."""
    cdef PyObject *attribute = (<PyObject **>(<char *><PyObject *>value + offset))[0]
    if attribute == NULL:
        raise AttributeError(f"a {type(value).__name__} that was never initialised")
    return attribute


cdef inline void fill_slot(object value, Py_ssize_t offset, object attribute) noexcept:
    """Set an attribute of a new instance."""
    Py_INCREF(attribute)
    (<PyObject **>(<char *><PyObject *>value + offset))[0] = <PyObject *>attribute
