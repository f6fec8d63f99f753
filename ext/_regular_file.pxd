"""Opening a regular file below a root, whether or not the caches have it: system calls, no Python."""

from libc.errno cimport EINVAL, EISDIR, ENODATA, EPERM, errno

from _posix cimport (
    O_NOATIME,
    O_NONBLOCK,
    O_RDONLY,
    S_ISDIR,
    S_ISREG,
    close_quietly,
    fstat,
    open_beneath,
    open_cached_beneath,
    stat_facts,
)


cdef inline int open_with(int directory, const char *path, int flags, bint only_cached) noexcept nogil:
    if only_cached:
        return open_cached_beneath(directory, path, flags)
    return open_beneath(directory, path, flags)


cdef inline int open_for_reading(int directory, const char *path, bint only_cached) noexcept nogil:
    """Open what should be a regular file; -1 with errno, which is EAGAIN for what `only_cached` leaves out."""
    # O_NONBLOCK: a FIFO under the file's name must not hang the reader; regular files ignore it.
    # O_NOATIME: noting the time of a read changes the inode. That change waits inside mmap while the journal writes
    # a neighbouring inode for another process's sync, however long that sync takes.
    cdef int flags = O_RDONLY | O_NONBLOCK | O_NOATIME
    cdef int descriptor = open_with(directory, path, flags, only_cached)
    if descriptor < 0 and errno == EPERM:  # only a file's owner may ask for that
        descriptor = open_with(directory, path, flags & ~O_NOATIME, only_cached)
    return descriptor


cdef inline int open_regular(
    int directory, const char *path, bint only_cached, int *descriptor, Py_ssize_t *length
) noexcept nogil:
    """Open a file that is regular and not empty; 0, or the errno that says why not.

    With `only_cached` nothing waits for a disk: EAGAIN means that the caches do not have the whole path.
    """
    cdef stat_facts facts
    cdef int failure = 0
    descriptor[0] = open_for_reading(directory, path, only_cached)
    if descriptor[0] < 0:
        return errno
    if fstat(descriptor[0], &facts) != 0:
        failure = errno
    elif S_ISDIR(facts.st_mode):
        failure = EISDIR
    elif not S_ISREG(facts.st_mode):
        failure = EINVAL
    elif facts.st_size == 0:
        failure = ENODATA
    if failure != 0:
        close_quietly(descriptor[0])
        return failure
    length[0] = facts.st_size
    return 0
