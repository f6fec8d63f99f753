"""A look at a query's components in C: `aerotile.adapters.descriptor_arrays.checked_query` is the rule."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport fabsf


def are_within(descriptor, Py_ssize_t dimension, float smallest, float largest):
    """Whether it is a contiguous, aligned row of `dimension` native float32 between -`largest` and `largest`.

    One of them at least has a magnitude of `smallest` or more. False for NaN, and for what is no array.
    """
    cdef Py_buffer buffer
    cdef const float *components
    cdef Py_ssize_t place
    cdef int beyond = 0, reached = 0
    try:
        PyObject_GetBuffer(descriptor, &buffer, PyBUF_ND | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):
        return False
    try:
        if (
            buffer.ndim != 1
            or buffer.shape[0] != dimension
            or buffer.format == NULL
            or buffer.format[0] != c"f"
            or buffer.format[1] != 0
            or <size_t>buffer.buf % sizeof(float) != 0
        ):
            return False
        components = <const float *>buffer.buf
        for place in range(dimension):
            beyond |= not fabsf(components[place]) <= largest
            reached |= fabsf(components[place]) >= smallest
        return reached != 0 and beyond == 0
    finally:
        PyBuffer_Release(&buffer)
