"""A tile and its sidecar on their way into a folder: the steps of a write, without the GIL.

Each function returns 0, or -1 with `failure` telling which call failed and with what errno.
"""

from libc.string cimport strcmp

from _data_syncs cimport WHOLE_WRITE, Sync, await_sync, start_sync, sync_all, sync_data, write_out
from _atomic_file cimport (
    UNNAMED,
    Failure,
    AtomicFile,
    close_temporary,
    fail,
    link_into_place,
    remove_ours,
    rename_into_place,
    write_temporary,
    write_unnamed,
)
from _posix cimport (
    O_DIRECTORY,
    O_RDONLY,
    SYNC_FILE_RANGE_WRITE,
    close_quietly,
    dev_t,
    open_beneath,
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


cdef inline int write_pair(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    """Write both temporaries without any sync."""
    if write_temporary(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0:
        write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure)
    return close_pair(pair, failure)


cdef inline int write_pair_ordered(int folder, AtomicPair *pair, Failure *failure) noexcept nogil:
    """Write both so that the next commit of the file system's journal makes them durable."""
    if (
        # The sidecar's content is on its way to the device while the tile is written.
        write_out(pair.sidecar.descriptor, SYNC_FILE_RANGE_WRITE, failure) == 0
        and write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure) == 0
        and write_out(pair.tile.descriptor, WHOLE_WRITE, failure) == 0
    ):
        return write_out(pair.sidecar.descriptor, WHOLE_WRITE, failure)
    return -1


cdef inline int write_pair_synced(
    int folder, AtomicPair *pair, unsigned long *context, Failure *failure
) noexcept nogil:
    """Write both and sync each; `context` is one of `_data_syncs`, or 0."""
    cdef bint started = start_sync(context[0], pair.sidecar.descriptor, sync_data)
    if write_temporary(folder, &pair.tile, pair.pixels, pair.length, failure) == 0:
        sync_data(pair.tile.descriptor, failure)
    return end_sync(pair, context, started, sync_data, failure)


cdef inline int end_sync(
    AtomicPair *pair, unsigned long *context, bint started, Sync sync, Failure *failure
) noexcept nogil:
    """See to the sync of the sidecar, whether it was started in the background or not."""
    cdef Failure late
    if started:  # also after a failure: the context must be empty for its next user
        late.number = 0
        if await_sync(context, sync, &late) != 0 and failure.number == 0:
            failure[0] = late
    elif failure.number == 0:
        sync(pair.sidecar.descriptor, failure)
    return 0 if failure.number == 0 else -1


cdef inline int sync_linked_pair(AtomicPair *pair, unsigned long *context, Failure *failure) noexcept nogil:
    """Sync both once they have their names: with its first name an inode changes, and must be synced whole."""
    cdef bint started = start_sync(context[0], pair.sidecar.descriptor, sync_all)
    sync_all(pair.tile.descriptor, failure)
    return end_sync(pair, context, started, sync_all, failure)


cdef inline int write_pair_durably(
    int folder, AtomicPair *pair, dev_t ordered_device, unsigned long *context, Failure *failure
) noexcept nogil:
    """Write both temporaries so that nothing but their names can be lost once the folder is synced."""
    if write_temporary(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0:
        # Another file system may be mounted below the root, so each write looks where it is.
        if ordered_device != 0 and pair.sidecar.device == ordered_device:
            write_pair_ordered(folder, pair, failure)
        else:
            write_pair_synced(folder, pair, context, failure)
    return close_pair(pair, failure)


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
    int root, AtomicPair *pair, dev_t ordered_device, unsigned long *context, Failure *failure
) noexcept nogil:
    """Give both files their names durably; after a failure neither exists."""
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    if folder < 0:
        return -1
    if (
        write_pair_durably(folder, pair, ordered_device, context, failure) == 0
        and rename_pair(folder, pair, failure) == 0
    ):
        sync_all(folder, failure)
    if failure.number != 0:
        # What can't be removed now is a temporary or an orphan, which the next open removes.
        remove_pair(folder, pair, &ignored)
    close_quietly(folder)
    return 0 if failure.number == 0 else -1


cdef inline int write_pair_ahead(int root, AtomicPair *pair, Failure *failure) noexcept nogil:
    """Send the content of both to the device without a name; afterwards there are both or neither."""
    cdef Failure ignored
    cdef int folder = open_folder(root, pair, failure)
    cdef bint ahead
    if folder < 0:
        return -1
    ahead = (
        write_unnamed(folder, &pair.tile, pair.pixels, pair.length, failure) == 0
        # The tile's content is on its way while the sidecar is made. This function waits for neither.
        and write_out(pair.tile.descriptor, SYNC_FILE_RANGE_WRITE, failure) == 0
        and write_unnamed(folder, &pair.sidecar, pair.line, pair.line_length, failure) == 0
        and write_out(pair.sidecar.descriptor, SYNC_FILE_RANGE_WRITE, failure) == 0
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
    int root,
    AtomicPair *pair,
    dev_t ordered_device,
    unsigned long *context,
    bint *named,
    Failure *failure,
) noexcept nogil:
    """`place_pair` for what was written ahead; after a failure neither exists.

    `named` says whether both had got their names, so that it was the sync that failed.
    """
    cdef Failure ignored
    # Another file system may be mounted below the root, so each write looks where it is.
    cdef bint is_ordered = ordered_device != 0 and pair.tile.device == ordered_device
    cdef int folder = open_folder(root, pair, failure)
    named[0] = (
        folder >= 0
        # The commit that brings the names must find the content on the device.
        and (not is_ordered or write_out(pair.tile.descriptor, WHOLE_WRITE, failure) == 0)
        and (not is_ordered or write_out(pair.sidecar.descriptor, WHOLE_WRITE, failure) == 0)
        and link_into_place(folder, &pair.sidecar, failure) == 0  # first, as in `rename_pair`
        and link_into_place(folder, &pair.tile, failure) == 0
    )
    if named[0] and (is_ordered or sync_linked_pair(pair, context, failure) == 0):
        sync_all(folder, failure)
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
