"""The walk over a JPEG's markers, for Python."""

from _jpeg cimport JpegWalk, walk_jpeg_bytes


def walk_jpeg(bytes pixels not None):
    """(fault, position, width, height), as `domain.policies.jpeg.walk_jpeg` has them; without the GIL."""
    cdef const unsigned char *begin = pixels
    cdef Py_ssize_t length = len(pixels)
    cdef JpegWalk walk
    with nogil:
        walk = walk_jpeg_bytes(begin, length)
    return walk.fault, walk.position, walk.width, walk.height
