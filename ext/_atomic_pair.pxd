"""A tile and its sidecar on their way into a folder: the steps of a write, without the GIL.

Each function returns 0, or -1 with `failure` telling which call failed and with what errno.
"""

from libc.errno cimport EINTR, errno
from libc.string cimport strcmp

from _atomic_file cimport (
    UNNAMED,
    Failure,
    AtomicFile,
    close_temporary,
    fail,
    link_into_place,
    remove_ours,
    rename_into_place,
    sync_retrying,
    write_temporary,
    write_unnamed,
)
from _posix cimport (
    O_DIRECTORY,
    O_RDONLY,
    SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE,
    SYNC_FILE_RANGE_WRITE,
    close_quietly,
    dev_t,
    fsync,
    open_beneath,
    sync_file_range,
)


cdef struct AtomicPair:
    const char *folder  # below the root
    const char *pixels
    size_t length
    const char *line
    size_t line_length
    AtomicFile tile
    AtomicFile sidecar


cdef inline int close_pair(AtomicPair *pair, Failure *failure) noexcept nogil:
    close_temporary(&pair.sidecar, failure)
    close_temporary(&pair.tile, failure)
    return 0 if failure.number == 0 else -1


cdef inline int rename_tile(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    return rename_into_place(folder, &pair.tile, failure)


cdef inline int add_sidecar(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    """Put the sidecar beside a tile without any sync."""
    if write_temporary(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0:
        rename_into_place(folder, &pair.sidecar, failure)
    return close_pair(pair, failure)


cdef inline int link_sidecar(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    """`add_sidecar` without a temporary name, which changes the folder once and not three times."""
    if write_unnamed(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0:
        link_into_place(folder, &pair.sidecar, failure)
    return close_pair(pair, failure)


cdef inline int write_back(AtomicFile *file, unsigned int flags, Failure *failure) noexcept nogil:
    while sync_file_range(file.descriptor, 0, 0, flags) != 0:
        if errno != EINTR:
            return fail(failure, b"sync_file_range")
    return 0


cdef inline int start_writing(AtomicFile *file, Failure *failure) noexcept nogil:
    """Start the content's way to the device, without waiting for its end."""
    return write_back(file, SYNC_FILE_RANGE_WRITE, failure)


cdef inline int write_tile(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    """Write the tile's temporary and start sending it to the device; the sync of the batch waits for that."""
    if write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure) == 0:
        start_writing(&pair.tile, failure)
    return close_pair(pair, failure)


cdef inline int finish_writing(AtomicFile *file, Failure *failure) noexcept nogil:
    """Wait for the end of the content's way to the device.

    Before the file gets its name: anybody's sync may commit that name at once, and a power cut would leave it above
    zeros. The sync that follows would wait for the content as well, so this costs a call.
    """
    cdef unsigned int flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
    return write_back(file, flags, failure)


cdef inline int sync_file(int descriptor, Failure *failure) noexcept nogil:
    return 0 if sync_retrying(fsync, descriptor) == 0 else fail(failure, b"fsync")


cdef inline int sync_named(
    int folder, AtomicPair *pair, dev_t name_syncing_device, Failure *failure
) noexcept nogil:
    """Make the tile durable under its name. Not the sidecar: its content is on its way, and nobody waits for it."""
    if sync_file(pair.tile.descriptor, failure) != 0:
        return -1
    # Another file system may be mounted below the root, so each write looks where it is.
    return 0 if pair.tile.device == name_syncing_device else sync_file(folder, failure)


cdef inline int rename_pair(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    # The sidecar first: a reader that sees the tile also sees its hash.
    if rename_into_place(folder, &pair.sidecar, failure) != 0:
        return -1
    return rename_into_place(folder, &pair.tile, failure)


cdef inline int remove_pair(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    cdef int tile = remove_ours(folder, &pair.tile, failure)
    cdef int sidecar = remove_ours(folder, &pair.sidecar, failure)
    return -1 if tile != 0 or sidecar != 0 else 0


cdef inline int open_folder(int root, AtomicPair *pair, Failure *failure) noexcept nogil:
    """The descriptor of the pair's folder, or -1."""
    cdef int folder = open_beneath(root, pair.folder, O_RDONLY | O_DIRECTORY)
    return folder if folder >= 0 else fail(failure, b"open")


cdef inline int place_pair(
    int root, AtomicPair *pair, dev_t name_syncing_device, Failure *failure
) noexcept nogil:
    """Give both files their names, the tile durably; after a failure neither exists."""
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    if folder < 0:
        return -1
    if (
        write_temporary(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0
        and start_writing(&pair.sidecar, failure) == 0
        and write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure) == 0
        and finish_writing(&pair.tile, failure) == 0
        and rename_pair(folder, pair, failure) == 0
    ):
        sync_named(folder, pair, name_syncing_device, failure)
    close_pair(pair, failure)
    if failure.number != 0:
        # What can't be removed now is a temporary or an orphan, which the next open removes.
        remove_pair(folder, pair, &ignored)
    close_quietly(folder)
    return 0 if failure.number == 0 else -1


cdef inline int place_tile(
    int root, AtomicPair *pair, dev_t name_syncing_device, Failure *failure
) noexcept nogil:
    """`place_pair` for the tile alone, without its sidecar."""
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    if folder < 0:
        return -1
    if (
        write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure) == 0
        and finish_writing(&pair.tile, failure) == 0
        and rename_into_place(folder, &pair.tile, failure) == 0
    ):
        sync_named(folder, pair, name_syncing_device, failure)
    close_pair(pair, failure)
    if failure.number != 0:
        remove_pair(folder, pair, &ignored)
    close_quietly(folder)
    return 0 if failure.number == 0 else -1


cdef inline int write_pair_ahead(
    int root, AtomicPair *pair, dev_t device, Failure *failure
) noexcept nogil:
    """Send the content of both to `device` without a name; afterwards there are both or neither.

    Neither where the folder lies on another device, mounted below the root.
    """
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    cdef bint ahead
    if folder < 0:
        return -1
    ahead = (
        write_unnamed(folder, &pair.tile, pair.pixels, pair.length, failure) == 0
        and pair.tile.device == device
        # The tile's content is on its way while the sidecar is made. This function waits for neither.
        and start_writing(&pair.tile, failure) == 0
        and write_unnamed(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0
        and start_writing(&pair.sidecar, failure) == 0
    )
    if not ahead:
        remove_pair(folder, pair, &ignored)
    close_quietly(folder)
    return 0 if ahead else -1


cdef inline int forget_unnamed(AtomicPair *pair) noexcept nogil:
    """Close files without a name, which removes them."""
    if pair.tile.stage == UNNAMED:
        remove_ours(-1, &pair.tile, NULL)
    if pair.sidecar.stage == UNNAMED:
        remove_ours(-1, &pair.sidecar, NULL)
    return 0


cdef inline bint is_ahead(AtomicPair *pair) noexcept nogil:
    """Whether `write_pair_ahead` did its work, and nothing was done since."""
    return pair.tile.stage == UNNAMED and pair.sidecar.stage == UNNAMED


cdef inline int link_pair(
    int root, AtomicPair *pair, dev_t name_syncing_device, bint *named, Failure *failure
) noexcept nogil:
    """`place_pair` for what was written ahead; after a failure neither exists.

    `named` says whether both had got their names, so that it was the sync that failed.
    """
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    named[0] = (
        folder >= 0
        and finish_writing(&pair.tile, failure) == 0
        and link_into_place(folder, &pair.sidecar, failure) == 0  # first, as in `rename_pair`
        and link_into_place(folder, &pair.tile, failure) == 0
    )
    if named[0]:
        sync_named(folder, pair, name_syncing_device, failure)
    if failure.number == 0:
        close_pair(pair, failure)
    if failure.number != 0:
        remove_pair(folder, pair, &ignored)
    if folder >= 0:
        close_quietly(folder)
    return 0 if failure.number == 0 else -1


ctypedef int (*PairStep)(int folder, AtomicPair *pair, Failure *failure) noexcept nogil


cdef inline int step_pairs(
    int root, AtomicPair **pairs, Failure *failures, Py_ssize_t count, PairStep step
) noexcept nogil:
    """Do one step of many pairs; a pair that fails is removed, and the others go on.

    Pairs of one folder are best given one after the other: it is opened once for them.
    """
    cdef Failure ignored
    cdef const char *open_path = NULL
    cdef int folder = -1
    cdef Py_ssize_t place
    for place in range(count):
        failures[place].number = 0
        if open_path == NULL or strcmp(open_path, pairs[place].folder) != 0:
            if folder >= 0:
                close_quietly(folder)
            folder = open_folder(root, pairs[place], &failures[place])
            open_path = pairs[place].folder if folder >= 0 else NULL
            if folder < 0:
                continue
        if step(folder, pairs[place], &failures[place]) != 0:
            remove_pair(folder, pairs[place], &ignored)
    if folder >= 0:
        close_quietly(folder)
    return 0
