"""The C library's heap."""

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    #else
    #define malloc_trim(kept) 0  /* other C libraries give memory back by themselves */
    #endif
    """
    int malloc_trim(size_t kept) nogil


def trim_heap():
    """Give memory that was freed, and that the C library keeps for later, back to the system.

    For after something big that won't soon come again. Takes milliseconds; other threads go on meanwhile.
    """
    with nogil:
        malloc_trim(0)
