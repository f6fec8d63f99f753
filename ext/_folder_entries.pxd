"""The entries of one folder, straight from the kernel, without following a link. No GIL is needed."""

from libc.errno cimport EINTR, ELOOP, ENOENT, ENOTDIR, errno

from _posix cimport (
    AT_SYMLINK_NOFOLLOW,
    DT_REG,
    DT_UNKNOWN,
    O_CLOEXEC,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_RDONLY,
    S_ISREG,
    aerotile_entry,
    aerotile_getdents64,
    fstatat,
    openat,
    stat_facts,
)

cdef enum:
    BLOCK_BYTES = 1 << 15


cdef struct Folder:
    int descriptor
    Py_ssize_t filled
    Py_ssize_t next_entry
    char block[BLOCK_BYTES]


cdef inline bint has_gone(int number) noexcept nogil:
    """Whether this errno means that a folder vanished, or is no folder."""
    return number == ENOENT or number == ENOTDIR or number == ELOOP


cdef inline int open_folder(Folder *folder, int parent, const char *name) noexcept nogil:
    """Open a folder for `next_entry`; -1 with errno."""
    folder.filled = 0
    folder.next_entry = 0
    while True:
        folder.descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if folder.descriptor >= 0:
            return 0
        if errno != EINTR:
            return -1


cdef inline aerotile_entry *next_entry(Folder *folder) noexcept nogil:
    """The next entry; NULL with errno 0 at the end, and with another errno when the folder can't be read."""
    cdef aerotile_entry *entry
    while folder.next_entry >= folder.filled:
        folder.filled = aerotile_getdents64(folder.descriptor, folder.block, BLOCK_BYTES)
        folder.next_entry = 0
        if folder.filled == 0:
            (&errno)[0] = 0
            return NULL
        if folder.filled < 0:
            folder.filled = 0
            if errno != EINTR:
                return NULL
    entry = <aerotile_entry *>(folder.block + folder.next_entry)
    folder.next_entry += entry.d_reclen
    return entry


cdef inline int is_file(int folder, aerotile_entry *entry) noexcept nogil:
    """1 for a regular file, 0 for anything else, -1 with errno when that can't be known."""
    cdef stat_facts facts
    if entry.d_type != DT_UNKNOWN:
        return entry.d_type == DT_REG
    if fstatat(folder, entry.d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0:  # a file system without types
        return 0 if errno == ENOENT else -1
    return S_ISREG(facts.st_mode) != 0
