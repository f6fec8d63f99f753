"""Reading tile files' bytes once, and asking whether a file exists."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EBADMSG, EINTR, ELOOP, ENODATA, ENOENT, ENOTDIR, errno

from _constants cimport SHA256_BYTES
from _posix cimport (
    O_PATH,
    S_ISREG,
    aerotile_pread_cached,
    close_quietly,
    file_system_facts,
    fstat,
    fstatfs,
    open_beneath,
    pread,
    stat_facts,
)
from _regular_file cimport open_regular
from _tile_parts cimport TILE_PATH_BYTES, TilePartsLayout, TileParts, learn_parts_layout, parts_of, put_path
from aerotile.ext.pixel_hashes cimport openssl_sha256

import hashlib
import os
from uuid import UUID

from ..domain.values.tiles import TileId, TileSource

cdef TilePartsLayout layout
learn_parts_layout(&layout, TileId, TileSource, UUID)

cdef enum:
    BTRFS = 0x9123683E
    EXT4 = 0xEF53
    F2FS = 0xF2F52010
    OVERLAYFS = 0x794C7630
    TMPFS = 0x01021994
    XFS = 0x58465342


def opens_cached_files_at_once(int directory):
    """Whether the folder's file system opens a cached file without asking a server.

    True for the known local ones; one over a network or in user space may ask a server at every open. Raises
    `OSError`.
    """
    cdef file_system_facts facts
    if fstatfs(directory, &facts) != 0:
        raise OSError(errno, os.strerror(errno))
    return (<unsigned long>facts.f_type & 0xFFFFFFFF) in (BTRFS, EXT4, F2FS, OVERLAYFS, TMPFS, XFS)


def read_tile(int directory, tile_id):
    """The content of a tile's file below the folder `directory`, without the GIL.

    Raises `OSError` as `map_tile` does, and with EBADMSG for a file that became shorter meanwhile.
    """
    cdef TileParts parts
    cdef char path[TILE_PATH_BYTES]
    cdef int descriptor, failure
    cdef Py_ssize_t length = 0
    cdef bytes content
    cdef char *start
    parts_of(&layout, tile_id, &parts)
    put_path(&layout, &parts, path)
    with nogil:
        failure = open_regular(directory, path, False, &descriptor, &length)
    if failure != 0:
        raise disk_error(failure, path)
    try:
        content = PyBytes_FromStringAndSize(NULL, length)
        start = PyBytes_AS_STRING(content)
        with nogil:
            failure = read_whole(descriptor, start, length)
    finally:
        close_quietly(descriptor)
    if failure != 0:
        raise disk_error(failure, path)
    return content


cdef struct HashedRead:
    char path[TILE_PATH_BYTES]
    int descriptor
    int failure
    Py_ssize_t length
    unsigned char *start
    bint is_hashed
    unsigned char digest[SHA256_BYTES]


def read_hashed(int directory, tile_ids not None):
    """The content of many tiles' files and its SHA-256, in two stretches without the GIL.

    Entry i is the pair of tile i, or the `OSError` that `read_tile` raises. So many files are open at once.
    """
    cdef list wanted = list(tile_ids)
    cdef Py_ssize_t count = len(wanted)
    cdef Py_ssize_t place
    cdef TileParts parts
    cdef bytes content
    cdef list contents = []
    cdef HashedRead *reads = <HashedRead *>PyMem_Malloc((count + 1) * sizeof(HashedRead))
    if reads == NULL:
        raise MemoryError
    for place in range(count):
        reads[place].descriptor = -1
    try:
        for place in range(count):
            parts_of(&layout, wanted[place], &parts)
            put_path(&layout, &parts, reads[place].path)
        with nogil:
            for place in range(count):
                open_to_hash(directory, &reads[place])
        for place in range(count):
            content = PyBytes_FromStringAndSize(NULL, reads[place].length)
            reads[place].start = <unsigned char *>PyBytes_AS_STRING(content)
            contents.append(content)
        with nogil:
            for place in range(count):
                read_and_hash(&reads[place])
        return [
            disk_error(reads[place].failure, reads[place].path)
            if reads[place].failure != 0
            else (
                contents[place],
                reads[place].digest[:SHA256_BYTES]
                if reads[place].is_hashed
                else hashlib.sha256(contents[place]).digest(),
            )
            for place in range(count)
        ]
    finally:
        for place in range(count):
            if reads[place].descriptor >= 0:
                close_quietly(reads[place].descriptor)
        PyMem_Free(reads)


cdef inline void open_to_hash(int directory, HashedRead *each) noexcept nogil:
    cdef int descriptor
    each.is_hashed = False
    each.length = 0
    each.failure = open_regular(directory, each.path, False, &descriptor, &each.length)
    if each.failure == 0:
        each.descriptor = descriptor


cdef inline void read_and_hash(HashedRead *each) noexcept nogil:
    if each.failure != 0:
        return
    each.failure = read_whole(each.descriptor, <char *>each.start, each.length)
    close_quietly(each.descriptor)
    each.descriptor = -1
    if each.failure == 0 and openssl_sha256 != NULL:
        each.is_hashed = openssl_sha256(each.start, each.length, each.digest) != NULL


def read_cached_tile(int directory, tile_id):
    """`read_tile` that waits for no disk and keeps the GIL; None when the caches do not have all of it."""
    cdef TileParts parts
    cdef char path[TILE_PATH_BYTES]
    cdef int descriptor, failure
    cdef Py_ssize_t length = 0
    cdef Py_ssize_t count
    cdef bytes content
    parts_of(&layout, tile_id, &parts)
    put_path(&layout, &parts, path)
    failure = open_regular(directory, path, True, &descriptor, &length)
    if failure == EAGAIN:
        return None
    if failure != 0:
        raise disk_error(failure, path)
    try:
        content = PyBytes_FromStringAndSize(NULL, length)
        count = aerotile_pread_cached(descriptor, PyBytes_AS_STRING(content), length, 0)
    finally:
        close_quietly(descriptor)
    return content if count == length else None


def tile_is_there(int directory, tile_id):
    """Whether the tile's file is a regular file below the folder `directory`. Raises `OSError`."""
    cdef TileParts parts
    cdef char path[TILE_PATH_BYTES]
    cdef stat_facts facts
    cdef int descriptor
    cdef int failure = 0
    parts_of(&layout, tile_id, &parts)
    put_path(&layout, &parts, path)
    with nogil:
        descriptor = open_beneath(directory, path, O_PATH)
        if descriptor < 0:
            failure = errno
        else:
            if fstat(descriptor, &facts) != 0:
                failure = errno
            close_quietly(descriptor)
    if failure == ENOENT or failure == ENOTDIR or failure == ELOOP:
        return False
    if failure != 0:
        raise disk_error(failure, path)
    return bool(S_ISREG(facts.st_mode))


cdef int read_whole(int descriptor, char *start, Py_ssize_t length) noexcept nogil:
    """Read all of it; 0, or the errno that says why not."""
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t count
    while done < length:
        count = pread(descriptor, start + done, <size_t>(length - done), done)
        if count > 0:
            done += count
        elif count == 0:
            return EBADMSG
        elif errno != EINTR:
            return errno
    return 0


cdef object disk_error(int failure, const char *path):
    reasons = {ENODATA: "the file is empty", EBADMSG: "the file became shorter while it was read"}
    return OSError(failure, reasons.get(failure) or os.strerror(failure), path.decode("ascii"))
