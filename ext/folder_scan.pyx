"""The walk over one variant's folders: which tiles, sidecars and temporary files lie there.

Names come straight from the kernel's directory entries, folder by folder below one descriptor, without the
GIL and without following a link. What a name means is what `layout.py` in the file system adapter says.

Functions here return 0, or -1 with errno; `walk_variant` makes an exception of it.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strcmp, strlen

from _constants cimport MAX_ZOOM, MORTON_BITS
from _folder_entries cimport Folder, has_gone, is_file, next_entry, open_folder
from _growing cimport Growing, append, release
from _morton cimport morton
from _posix cimport MAP_ANONYMOUS, MAP_PRIVATE, aerotile_entry, close_quietly, may_be_folder

import os
from mmap import mmap as Pages

import numpy as np

cdef enum:
    NUMBER_DIGITS = 7  # 2**22 - 1, the largest column or row, has seven
    ELSEWHERE = -1


cdef struct Walk:
    Growing tiles        # int64 places
    Growing sidecars     # likewise
    Growing temporaries  # paths below the variant's folder, each with a NUL at its end
    int zoom             # the folder that is being read; ELSEWHERE: one above
    long column
    long part            # only columns of which this is left when divided by `parts`
    long parts


cdef int append_place(Growing *places, Walk *walk, long row) noexcept nogil:
    cdef int64_t place = <int64_t>walk.zoom << MORTON_BITS | <int64_t>morton(walk.column, row)
    return append(places, &place, sizeof(place))


cdef int append_temporary(Walk *walk, const char *name) noexcept nogil:
    cdef char numbers[64]
    cdef int length = snprintf(numbers, sizeof(numbers), "%d/%ld/", walk.zoom, walk.column)
    if append(&walk.temporaries, numbers, <size_t>length) != 0:
        return -1
    return append(&walk.temporaries, name, strlen(name) + 1)


cdef long number_at(const char *name, const char **end) noexcept nogil:
    """The number that `name` begins with, as the layout writes numbers; -1 when there is none."""
    cdef long number = 0
    cdef int digits = 0
    while digits < NUMBER_DIGITS and c"0" <= name[digits] <= c"9":
        number = number * 10 + (name[digits] - c"0")
        digits += 1
    end[0] = name + digits
    if digits == 0 or (name[0] == c"0" and digits > 1):
        return -1
    return number


cdef long folder_number(const char *name, long limit) noexcept nogil:
    """The number below `limit` that is a folder's whole name; -1 when it is none."""
    cdef const char *end = NULL
    cdef long number = number_at(name, &end)
    return number if number < limit and end[0] == 0 else -1


cdef int note_file(Walk *walk, int folder, aerotile_entry *entry, long rows) noexcept nogil:
    """Note the file as its name says; other names are skipped."""
    cdef const char *name = entry.d_name
    cdef const char *rest = NULL
    cdef size_t length
    cdef long row = -1
    cdef bint sidecar = False
    cdef int regular
    if name[0] == c".":
        length = strlen(name)
        if length < 4 or (
            strcmp(name + length - 4, b".tmp") != 0 and strcmp(name + length - 4, b".new") != 0
        ):
            return 0
    else:
        row = number_at(name, &rest)
        sidecar = strcmp(rest, b".jpg.sha256") == 0
        if row < 0 or row >= rows or not (sidecar or strcmp(rest, b".jpg") == 0):
            return 0
    regular = is_file(folder, entry)
    if regular <= 0:
        return regular
    if row < 0:
        return append_temporary(walk, name)
    return append_place(&walk.sidecars if sidecar else &walk.tiles, walk, row)


cdef int walk_column(Walk *walk, int parent, const char *name) noexcept nogil:
    cdef Folder folder
    cdef aerotile_entry *entry
    cdef int failed = 0
    if open_folder(&folder, parent, name) != 0:
        return 0 if has_gone(errno) else -1
    while failed == 0:
        entry = next_entry(&folder)
        if entry == NULL:
            failed = 0 if errno == 0 or has_gone(errno) else -1
            break
        failed = note_file(walk, folder.descriptor, entry, 1L << walk.zoom)
    close_quietly(folder.descriptor)
    return failed


cdef int walk_zoom(Walk *walk, int parent, const char *name) noexcept nogil:
    cdef Folder folder
    cdef aerotile_entry *entry
    cdef int failed = 0
    if open_folder(&folder, parent, name) != 0:
        return 0 if has_gone(errno) else -1
    while failed == 0:
        walk.column = ELSEWHERE
        entry = next_entry(&folder)
        if entry == NULL:
            failed = 0 if errno == 0 or has_gone(errno) else -1
            break
        walk.column = folder_number(entry.d_name, 1L << walk.zoom)
        if walk.column >= 0 and walk.column % walk.parts == walk.part and may_be_folder(entry.d_type):
            failed = walk_column(walk, folder.descriptor, entry.d_name)
    close_quietly(folder.descriptor)
    return failed


cdef int walk_folder(Walk *walk, int variant) noexcept nogil:
    cdef Folder folder
    cdef aerotile_entry *entry
    cdef int failed = 0
    if open_folder(&folder, variant, b".") != 0:
        return -1
    while failed == 0:
        walk.zoom = ELSEWHERE
        entry = next_entry(&folder)
        if entry == NULL:
            failed = 0 if errno == 0 or has_gone(errno) else -1
            break
        walk.zoom = <int>folder_number(entry.d_name, MAX_ZOOM + 1)
        if walk.zoom >= 0 and may_be_folder(entry.d_type):
            failed = walk_zoom(walk, folder.descriptor, entry.d_name)
    close_quietly(folder.descriptor)
    return failed


cdef str where(Walk *walk):
    parts = [str(part) for part in (walk.zoom, walk.column) if part != ELSEWHERE]
    return "/".join(parts)


cdef object places_of(Growing *places):
    """The places as an array in pages of its own."""
    cdef Py_buffer view
    if places.length == 0:
        return np.empty(0, np.int64)
    pages = Pages(-1, places.length, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    PyObject_GetBuffer(pages, &view, PyBUF_SIMPLE)
    memcpy(view.buf, places.bytes, places.length)
    PyBuffer_Release(&view)
    return np.frombuffer(pages, np.int64)


def walk_variant(int folder, long part=0, long parts=1):
    """Which tiles, sidecars and possible temporaries or replacements lie below a variant's folder (an open descriptor).

    Of the columns, only those that leave `part` when divided by `parts`, so that threads can share the work.

    Returns two arrays of places, int64, zoom << 44 | Morton interleave of column and row, in no particular
    order, and a list of paths relative to the folder: hidden files that end in ".tmp" or ".new", for the
    caller to judge. Folders that vanish meanwhile are skipped. Raises `OSError` with the path (relative, "" for the
    folder itself) of the folder that can't be read.
    """
    cdef Walk walk
    cdef int failure = 0
    if not 0 <= part < parts:
        raise ValueError(f"part must be within 0..{parts - 1}, got {part}")
    walk.part = part
    walk.parts = parts
    walk.tiles = walk.sidecars = walk.temporaries = Growing(NULL, 0, 0)
    walk.zoom = ELSEWHERE
    walk.column = ELSEWHERE
    try:
        with nogil:
            if walk_folder(&walk, folder) != 0:
                failure = errno
        if failure == ENOMEM:
            raise MemoryError
        if failure != 0:
            raise OSError(failure, os.strerror(failure), where(&walk))
        temporaries = PyBytes_FromStringAndSize(walk.temporaries.bytes, <Py_ssize_t>walk.temporaries.length)
        return (
            places_of(&walk.tiles),
            places_of(&walk.sidecars),
            [os.fsdecode(path) for path in temporaries.split(b"\0")[:-1]],
        )
    finally:
        release(&walk.tiles)
        release(&walk.sidecars)
        release(&walk.temporaries)
