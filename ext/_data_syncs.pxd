"""Bringing two new files to the disk with as few waits as their file system allows. No GIL is needed.

Where one journal commit covers all (`ordered`), it is enough that the content of both has reached the device,
blocks allocated: the commit that the sync of their folder forces brings the rest, and flushes the device.
Elsewhere each is synced on its own, the small one by the kernel in the background (Linux AIO, which unlike
io_uring container sandboxes let through) while the large one is written and synced, or only synced.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from _atomic_file cimport Failure, AtomicFile, fail, sync_retrying
from _posix cimport (
    SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE,
    SYNC_FILE_RANGE_WRITE,
    fdatasync,
    fsync,
    sync_file_range,
)

cdef extern from *:
    """
    #include <linux/aio_abi.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    static long aerotile_io_setup(unsigned count, unsigned long *context) {
        aio_context_t made = 0;
        long result = syscall(SYS_io_setup, count, &made);
        *context = (unsigned long)made;
        return result;
    }
    static long aerotile_io_submit(unsigned long context, struct iocb *request) {
        return syscall(SYS_io_submit, (aio_context_t)context, 1L, &request);
    }
    static long aerotile_io_getevent(unsigned long context, struct io_event *event) {
        return syscall(SYS_io_getevents, (aio_context_t)context, 1L, 1L, event, (void *)0);
    }
    """
    enum:
        IOCB_CMD_FDSYNC
        IOCB_CMD_FSYNC
    struct iocb:
        unsigned short aio_lio_opcode
        unsigned int aio_fildes
    struct io_event:
        int64_t res
    long aerotile_io_setup(unsigned count, unsigned long *context) nogil
    long aerotile_io_submit(unsigned long context, iocb *request) nogil
    long aerotile_io_getevent(unsigned long context, io_event *event) nogil


cdef enum:
    WHOLE_WRITE = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER


cdef inline int write_out(int descriptor, unsigned int flags, Failure *failure) noexcept nogil:
    """Start, or with `WHOLE_WRITE` finish, the way of a file's content to the device; 0, or -1."""
    while sync_file_range(descriptor, 0, 0, flags) != 0:
        if errno != EINTR:
            return fail(failure, b"sync_file_range")
    return 0


cdef inline int sync_data(int descriptor, Failure *failure) noexcept nogil:
    """fdatasync; 0, or -1 with `failure` set."""
    if sync_retrying(fdatasync, descriptor) != 0:
        return fail(failure, b"fdatasync")
    return 0


cdef inline int sync_all(int descriptor, Failure *failure) noexcept nogil:
    """fsync; 0, or -1 with `failure` set."""
    if sync_retrying(fsync, descriptor) != 0:
        return fail(failure, b"fsync")
    return 0


ctypedef int (*Sync)(int descriptor, Failure *failure) noexcept nogil  # `sync_data` or `sync_all`


cdef inline bint start_sync(unsigned long context, int descriptor, Sync sync) noexcept nogil:
    """Let the kernel do `sync` in the background; False when it won't, and the caller has to."""
    cdef iocb request
    if context == 0:
        return False
    memset(&request, 0, sizeof(request))
    request.aio_lio_opcode = IOCB_CMD_FSYNC if sync == sync_all else IOCB_CMD_FDSYNC
    request.aio_fildes = descriptor
    return aerotile_io_submit(context, &request) == 1


cdef inline int await_sync(unsigned long *context, Sync sync, Failure *failure) noexcept nogil:
    """Wait for what `start_sync` started; 0, or -1 with `failure` set. Zeroes a context that broke."""
    cdef io_event event
    cdef long count
    while True:
        count = aerotile_io_getevent(context[0], &event)
        if count == 1:
            break
        if count < 0 and errno == EINTR:
            continue
        # How that sync ended is not to be learned any more, and after one that failed the next tells nothing.
        context[0] = 0
        return fail(failure, b"io_getevents")
    if event.res < 0:
        (&errno)[0] = <int>-event.res
        return fail(failure, b"fsync" if sync == sync_all else b"fdatasync")
    return 0
