"""The C that the extension calls: declarations, and the one way in which it opens anything below a root."""

from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOSYS, EPERM, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, strchr, strlen


cdef extern from "<sys/types.h>" nogil:
    ctypedef unsigned long dev_t
    ctypedef unsigned long ino_t
    ctypedef unsigned int mode_t
    ctypedef unsigned int uid_t
    ctypedef unsigned int gid_t
    ctypedef long off_t

cdef extern from "<fcntl.h>" nogil:
    enum:
        AT_FDCWD
        AT_SYMLINK_FOLLOW
        AT_SYMLINK_NOFOLLOW
        O_CLOEXEC
        O_CREAT
        O_DIRECTORY
        O_EXCL
        O_NOATIME
        O_NOFOLLOW
        O_NONBLOCK
        O_PATH
        O_RDONLY
        O_TMPFILE
        O_WRONLY
        SYNC_FILE_RANGE_WAIT_AFTER
        SYNC_FILE_RANGE_WAIT_BEFORE
        SYNC_FILE_RANGE_WRITE
    int openat(int directory, const char *path, int flags, ...)
    int sync_file_range(int descriptor, int64_t offset, int64_t length, unsigned int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)
    int fchown(int descriptor, uid_t owner, gid_t group)
    int fsync(int descriptor)
    int getpid()
    off_t lseek(int descriptor, off_t offset, int whence)
    int linkat(int old_directory, const char *old_path, int new_directory, const char *new_path, int flags)
    Py_ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset)
    enum:
        SEEK_END
        _SC_PAGESIZE
    long sysconf(int name)
    int syncfs(int descriptor)
    int unlinkat(int directory, const char *path, int flags)
    Py_ssize_t write(int descriptor, const void *bytes, size_t count)

cdef extern from "<dirent.h>" nogil:
    enum:
        DT_DIR
        DT_REG
        DT_UNKNOWN

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char *old_path, int new_directory, const char *new_path)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec

cdef extern from "<sys/stat.h>" nogil:
    struct stat_facts "stat":
        dev_t st_dev
        ino_t st_ino
        mode_t st_mode
        uid_t st_uid
        gid_t st_gid
        off_t st_size
        timespec st_mtim
    int S_ISDIR(mode_t mode)
    int S_ISREG(mode_t mode)
    int fchmod(int descriptor, mode_t mode)
    int fstat(int descriptor, stat_facts *facts)
    int fstatat(int directory, const char *path, stat_facts *facts, int flags)

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MAP_ANONYMOUS
        MAP_PRIVATE
        MAP_SHARED
        MREMAP_MAYMOVE
        PROT_READ
        PROT_WRITE
    void *MAP_FAILED
    int madvise(void *address, size_t length, int advice)
    int mlock(const void *address, size_t length)
    int mincore(void *address, size_t length, unsigned char *resident)
    void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
    void *mremap(void *address, size_t length, size_t new_length, int flags, ...)
    int munmap(void *address, size_t length)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    Py_ssize_t process_vm_readv(
        int process, const iovec *here, unsigned long here_count,
        const iovec *there, unsigned long there_count, unsigned long flags
    )

cdef extern from "<sys/vfs.h>" nogil:
    struct file_system_facts "statfs":
        long f_type
    int fstatfs(int descriptor, file_system_facts *facts)

cdef extern from *:
    """
    #include <stdint.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>

    /* Declared here because build machines have older kernel headers than aircraft have kernels.
       The call has the same number on every architecture. */
    #ifndef SYS_openat2
    #define SYS_openat2 437
    #endif
    #define AEROTILE_RESOLVE_NO_SYMLINKS 0x04
    #define AEROTILE_RESOLVE_BENEATH 0x08
    #define AEROTILE_RESOLVE_CACHED 0x20 /* Linux 5.12 */
    #define AEROTILE_RWF_NOWAIT 0x08
    #define AEROTILE_MADV_POPULATE_READ 22 /* Linux 5.14 */
    #ifndef SYS_cachestat
    #define SYS_cachestat 451 /* Linux 6.5; the same number on every architecture */
    #endif

    struct aerotile_open_how { uint64_t flags; uint64_t mode; uint64_t resolve; };

    static inline int aerotile_openat2(int directory, const char *path, struct aerotile_open_how *how) {
        return (int)syscall(SYS_openat2, directory, path, how, sizeof(*how));
    }

    /* The C library that wheels are built for does not have preadv2 yet. */
    static inline ssize_t aerotile_pread_cached(int descriptor, void *bytes, size_t count, int64_t offset) {
        struct iovec part = {bytes, count};
        return syscall(SYS_preadv2, descriptor, &part, 1L, (long)offset, 0L, AEROTILE_RWF_NOWAIT);
    }

    /* How many pages of a file's first bytes the page cache has; -1 with errno. */
    static inline int64_t aerotile_cached_pages(int descriptor, uint64_t length) {
        struct { uint64_t offset, length; } range = {0, length};
        struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } counts = {0};
        return syscall(SYS_cachestat, descriptor, &range, &counts, 0) == 0 ? (int64_t)counts.cached : -1;
    }
    """
    struct aerotile_open_how:
        uint64_t flags
        uint64_t mode
        uint64_t resolve
    enum:
        AEROTILE_MADV_POPULATE_READ
        AEROTILE_RESOLVE_BENEATH
        AEROTILE_RESOLVE_CACHED
        AEROTILE_RESOLVE_NO_SYMLINKS
    int aerotile_openat2(int directory, const char *path, aerotile_open_how *how) nogil
    int64_t aerotile_cached_pages(int descriptor, uint64_t length) nogil
    Py_ssize_t aerotile_pread_cached(int descriptor, void *bytes, size_t count, off_t offset) nogil


cdef extern from *:
    """
    #include <stdint.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* As the kernel lays it out; C libraries call theirs by different names, or have none. */
    struct aerotile_entry {
        uint64_t d_ino; int64_t d_off; uint16_t d_reclen; uint8_t d_type; char d_name[];
    };

    static inline ssize_t aerotile_getdents64(int folder, void *block, size_t size) {
        return (ssize_t)syscall(SYS_getdents64, folder, block, size);
    }
    """
    struct aerotile_entry:
        uint16_t d_reclen
        uint8_t d_type
        const char *d_name
    Py_ssize_t aerotile_getdents64(int folder, void *block, size_t size) nogil


cdef inline bint may_be_folder(uint8_t kind) noexcept nogil:
    """Whether an entry of this type can be opened as a folder; some file systems don't say."""
    return kind == DT_DIR or kind == DT_UNKNOWN


cdef inline int close_quietly(int descriptor) noexcept nogil:
    """Close and keep the errno of what went before."""
    cdef int earlier = errno
    close(descriptor)
    (&errno)[0] = earlier
    return 0


cdef inline int walk_beneath(int root, const char *path, int flags) noexcept nogil:
    """`open_beneath` one component at a time, for kernels and sandboxes without openat2."""
    cdef char component[256]
    cdef const char *rest = path
    cdef const char *slash
    cdef size_t length
    cdef int folder = root
    cdef int opened
    while True:
        slash = strchr(rest, b"/")
        length = slash - rest if slash != NULL else strlen(rest)
        if (
            length == 0
            or length >= sizeof(component)
            or (length <= 2 and rest[0] == b"." and rest[length - 1] == b".")
        ):
            (&errno)[0] = EINVAL
            opened = -1
        else:
            memcpy(component, rest, length)
            component[length] = 0
            if slash == NULL:
                opened = openat(folder, component, flags | O_NOFOLLOW | O_CLOEXEC)
            else:
                opened = openat(folder, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if folder != root:
            close_quietly(folder)
        if opened < 0 or slash == NULL:
            return opened
        folder = opened
        rest = slash + 1


cdef inline int open_beneath(int root, const char *path, int flags) noexcept nogil:
    """Open `path` below the folder `root`, following no symbolic link; -1 with errno when it fails."""
    cdef aerotile_open_how how
    cdef int descriptor
    how.flags = flags | O_NOFOLLOW | O_CLOEXEC
    how.mode = 0
    how.resolve = AEROTILE_RESOLVE_BENEATH | AEROTILE_RESOLVE_NO_SYMLINKS
    while True:
        descriptor = aerotile_openat2(root, path, &how)
        if descriptor >= 0:
            return descriptor
        if errno == ENOSYS or errno == EPERM:  # EPERM: older container sandboxes answer unknown calls with it
            return walk_beneath(root, path, flags)
        if errno != EINTR:
            return -1


cdef inline int open_cached_beneath(int root, const char *path, int flags) noexcept nogil:
    """`open_beneath` from the caches alone: -1 with EAGAIN when that can't be done, here or on this kernel.

    EPERM is the answer to O_NOATIME for another user's file.
    """
    cdef aerotile_open_how how
    cdef int descriptor
    how.flags = flags | O_NOFOLLOW | O_CLOEXEC
    how.mode = 0
    how.resolve = AEROTILE_RESOLVE_BENEATH | AEROTILE_RESOLVE_NO_SYMLINKS | AEROTILE_RESOLVE_CACHED
    descriptor = aerotile_openat2(root, path, &how)
    if descriptor < 0 and (
        errno == EINTR or errno == EINVAL or errno == ENOSYS or (errno == EPERM and not flags & O_NOATIME)
    ):
        (&errno)[0] = EAGAIN
    return descriptor
