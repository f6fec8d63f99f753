"""A file that is written under a temporary name, renamed, and removed again: system calls without the GIL.

Each function returns 0, or -1 with `failure` telling which call failed and with what errno.
"""

from libc.errno cimport EEXIST, EINTR, EIO, ENOENT, errno
from libc.stdio cimport snprintf

from _posix cimport (
    AT_FDCWD,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_TMPFILE,
    O_WRONLY,
    close,
    close_quietly,
    dev_t,
    fchmod,
    fchown,
    fstat,
    fstatat,
    ino_t,
    linkat,
    openat,
    renameat,
    stat_facts,
    timespec,
    unlinkat,
    write,
)


cdef enum:
    FILE_MODE = 0o440
    ALL_MODE_BITS = 0o7777


cdef enum Stage:
    ABSENT     # no file of this write is on the disk
    UNNAMED    # written; it goes when its descriptor is closed
    TEMPORARY  # under the temporary name
    PLACED     # under the final name


cdef struct AtomicFile:
    # What is needed to find the file again and to know that it is still the one written here.
    const char *temporary
    const char *name
    Stage stage
    dev_t device
    ino_t inode
    timespec modified  # a freed inode number is given out again; the time tells the two files apart
    int descriptor   # open while it is written or has no name, -1 otherwise


cdef struct Failure:
    int number
    const char *call


cdef inline int fail(Failure *failure, const char *call) noexcept nogil:
    """Note the errno of the call that just failed; always -1."""
    failure.number = errno
    failure.call = call
    return -1


cdef inline int write_whole(int descriptor, const char *content, size_t length) noexcept nogil:
    """Write all of it; 0, or -1 with errno."""
    cdef Py_ssize_t written
    while length > 0:
        written = write(descriptor, content, length)
        if written > 0:
            content += written
            length -= written
        elif written == 0:
            (&errno)[0] = EIO
            return -1
        elif errno != EINTR:
            return -1
    return 0


cdef inline int sync_retrying(int (*call)(int) noexcept nogil, int descriptor) noexcept nogil:
    """Call fsync or one of its kin until no signal interrupts it; 0, or -1 with errno."""
    while call(descriptor) != 0:
        if errno != EINTR:
            return -1
    return 0


cdef inline int give_to_folders_owner(int folder, int descriptor) noexcept nogil:
    """Twin of `adapters.files.ownership` for a file that root has made; 0, or -1 with errno."""
    cdef stat_facts owner
    if fstat(folder, &owner) != 0:
        return -1
    return 0 if owner.st_uid == 0 else fchown(descriptor, owner.st_uid, owner.st_gid)


cdef inline int fill(
    int folder, AtomicFile *file, const char *content, size_t length, Failure *failure
) noexcept nogil:
    """Give a new file its content, owner and mode, and note how to know it again.

    0, or -1 with `failure` set.
    """
    cdef stat_facts facts
    if write_whole(file.descriptor, content, length) != 0:
        return fail(failure, b"write")
    if fstat(file.descriptor, &facts) != 0:
        return fail(failure, b"fstat")
    if facts.st_uid == 0 and give_to_folders_owner(folder, file.descriptor) != 0:
        return fail(failure, b"fchown")
    # The umask may have had its say at open.
    if (facts.st_mode & ALL_MODE_BITS) != FILE_MODE and fchmod(file.descriptor, FILE_MODE) != 0:
        return fail(failure, b"fchmod")
    file.device = facts.st_dev
    file.inode = facts.st_ino
    file.modified = facts.st_mtim
    return 0


cdef inline int write_temporary(
    int folder, AtomicFile *file, const char *content, size_t length, Failure *failure
) noexcept nogil:
    """Create the temporary file with all of its content and its final mode; 0, or -1 with `failure` set.

    Its descriptor stays open either way, for `close_temporary`.
    """
    while True:
        file.descriptor = openat(
            folder, file.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE
        )
        if file.descriptor >= 0:
            break
        if errno != EINTR:
            return fail(failure, b"open")
    file.stage = TEMPORARY
    return fill(folder, file, content, length, failure)


cdef inline int close_temporary(AtomicFile *file, Failure *failure) noexcept nogil:
    """Close what `write_temporary` opened; 0, or -1 with `failure` set. A failure from before stays."""
    cdef int descriptor = file.descriptor
    file.descriptor = -1
    if descriptor < 0:
        return 0
    if failure.number != 0:
        close_quietly(descriptor)
    elif close(descriptor) != 0 and errno != EINTR:  # the descriptor is gone either way
        return fail(failure, b"close")
    return 0


cdef inline int rename_into_place(int folder, AtomicFile *file, Failure *failure) noexcept nogil:
    """Give the temporary file its final name; 0, or -1 with `failure` set."""
    if renameat(folder, file.temporary, folder, file.name) != 0:
        return fail(failure, b"rename")
    file.stage = PLACED
    return 0


cdef inline int write_unnamed(
    int folder, AtomicFile *file, const char *content, size_t length, Failure *failure
) noexcept nogil:
    """`write_temporary` without any name. Where the file system can't do that, it fails too."""
    while True:
        file.descriptor = openat(folder, b".", O_WRONLY | O_TMPFILE | O_CLOEXEC, FILE_MODE)
        if file.descriptor >= 0:
            break
        if errno != EINTR:
            return fail(failure, b"open")
    file.stage = UNNAMED
    return fill(folder, file, content, length, failure)


cdef inline int link_as(int folder, AtomicFile *file, const char *name) noexcept nogil:
    """Give the unnamed file this name; 0, or -1 with errno."""
    cdef char path[32]
    snprintf(path, sizeof(path), b"/proc/self/fd/%d", file.descriptor)
    return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW)


cdef inline int link_into_place(int folder, AtomicFile *file, Failure *failure) noexcept nogil:
    """Give the unnamed file its final name; 0, or -1 with `failure` set."""
    if link_as(folder, file, file.name) == 0:
        file.stage = PLACED
        return 0
    if errno != EEXIST:
        return fail(failure, b"link")
    # An orphan is in the way, which only a rename can replace.
    if link_as(folder, file, file.temporary) != 0:
        return fail(failure, b"link")
    file.stage = TEMPORARY
    return rename_into_place(folder, file, failure)


cdef inline int remove_ours(int folder, AtomicFile *file, Failure *failure) noexcept nogil:
    """Unlink the file unless another one has taken its name; 0, or -1 with `failure` set."""
    cdef stat_facts facts
    cdef const char *name = file.temporary
    if file.stage == UNNAMED:
        file.stage = ABSENT
    if file.descriptor >= 0:
        close_quietly(file.descriptor)
        file.descriptor = -1
    if file.stage == ABSENT:
        return 0
    if file.stage == PLACED:
        name = file.name
        if fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) != 0:
            if errno != ENOENT:
                return fail(failure, b"fstatat")
            file.stage = ABSENT
            return 0
        if (
            facts.st_dev != file.device
            or facts.st_ino != file.inode
            or facts.st_mtim.tv_sec != file.modified.tv_sec
            or facts.st_mtim.tv_nsec != file.modified.tv_nsec
        ):
            file.stage = ABSENT
            return 0
    if unlinkat(folder, name, 0) != 0 and errno != ENOENT:
        return fail(failure, b"unlink")
    file.stage = ABSENT
    return 0
