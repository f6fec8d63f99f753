"""The hash-gated, durable, atomic write of a tile and its sidecar."""

cimport cython
from libc.errno cimport EINTR, EIO, ENOENT, errno

from _posix cimport (
    AT_SYMLINK_NOFOLLOW,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_RDONLY,
    O_WRONLY,
    close,
    close_quietly,
    dev_t,
    fchmod,
    fdatasync,
    fstat,
    fstatat,
    fsync,
    ino_t,
    mode_t,
    open_beneath,
    openat,
    renameat,
    stat_facts,
    syncfs,
    timespec,
    unlinkat,
    write,
)

import hashlib
import os

cdef mode_t PLACED_MODE = 0o440

cdef bytes JPEG_START = b"\xff\xd8\xff"
cdef bytes JPEG_END = b"\xff\xd9"


class GateRefusedError(ValueError):
    """The bytes are not what was promised. `what` is "length", "SHA-256", "JPEG start" or "JPEG end"."""

    def __init__(self, what, expected, actual):
        super().__init__(f"{what} is {actual}, expected {expected}")
        self.what = what
        self.expected = expected
        self.actual = actual


cdef enum Stage:
    ABSENT     # nothing of ours is on the disk
    TEMPORARY  # under the temporary name
    PLACED     # under the final name


cdef struct PlacedFile:
    # What is needed to find the file again and to know that it is still the one written here.
    const char *temporary
    const char *name
    Stage stage
    dev_t device
    ino_t inode
    timespec modified  # a freed inode number is given out again; the time tells the two files apart


cdef struct Failure:
    int number
    const char *call


cdef int fail(Failure *failure, const char *call) noexcept nogil:
    """Note the errno of the call that just failed; always -1."""
    failure.number = errno
    failure.call = call
    return -1


cdef int write_whole(int descriptor, const char *content, size_t length) noexcept nogil:
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


cdef int sync_retrying(int (*call)(int) noexcept nogil, int descriptor) noexcept nogil:
    """Call fsync or one of its kin until no signal interrupts it; 0, or -1 with errno."""
    while call(descriptor) != 0:
        if errno != EINTR:
            return -1
    return 0


cdef int write_temporary(
    int folder, PlacedFile *file, const char *content, size_t length, bint durable, Failure *failure
) noexcept nogil:
    """Create the temporary file with all of its content and its final mode; 0, or -1 with `failure` set."""
    cdef stat_facts facts
    cdef int descriptor
    while True:
        descriptor = openat(folder, file.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, PLACED_MODE)
        if descriptor >= 0:
            break
        if errno != EINTR:
            return fail(failure, b"open")
    file.stage = TEMPORARY
    if fchmod(descriptor, PLACED_MODE) != 0:  # the umask had its say at open
        fail(failure, b"fchmod")
    elif write_whole(descriptor, content, length) != 0:
        fail(failure, b"write")
    elif durable and sync_retrying(fdatasync, descriptor) != 0:
        fail(failure, b"fdatasync")
    elif fstat(descriptor, &facts) != 0:
        fail(failure, b"fstat")
    if failure.number != 0:
        close_quietly(descriptor)
        return -1
    file.device = facts.st_dev
    file.inode = facts.st_ino
    file.modified = facts.st_mtim
    if close(descriptor) != 0 and errno != EINTR:  # the descriptor is gone either way
        return fail(failure, b"close")
    return 0


cdef int rename_into_place(int folder, PlacedFile *file, Failure *failure) noexcept nogil:
    """Give the temporary file its final name; 0, or -1 with `failure` set."""
    if renameat(folder, file.temporary, folder, file.name) != 0:
        return fail(failure, b"rename")
    file.stage = PLACED
    return 0


cdef int remove_ours(int folder, PlacedFile *file, Failure *failure) noexcept nogil:
    """Unlink the file unless another one has taken its name; 0, or -1 with `failure` set."""
    cdef stat_facts facts
    cdef const char *name = file.temporary
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


cdef object os_error(Failure *failure, str path):
    """The `OSError` that says which call failed on which path."""
    return OSError(failure.number, f"{os.strerror(failure.number)} ({failure.call.decode()})", path)


def sync_file_system(int descriptor):
    """Make everything written to the file system that `descriptor` lies on durable. Raises `OSError`.

    An I/O error is reported once per descriptor, and only when it came after that descriptor was opened: open one
    before the writes that this call is to vouch for, and don't share it.
    """
    cdef Failure failure
    failure.number = 0
    with nogil:
        if sync_retrying(syncfs, descriptor) != 0:
            fail(&failure, b"syncfs")
    if failure.number != 0:
        raise os_error(&failure, "")


@cython.final
cdef class GatedWrite:
    """One tile's bytes, admitted by the hash gate, on their way to the disk.

    `GatedWrite(pixels, content_sha256, disk_bytes)` does no I/O. It raises `GateRefusedError` unless `pixels` has
    `disk_bytes` bytes, has the SHA-256 `content_sha256` (64 lower-case hexadecimal digits), and begins and ends
    with JPEG's markers. Only `bytes` are taken, because nobody can change them between the gate and the disk.

    One write at a time: a second thread's call on the same object raises `RuntimeError`.
    """

    cdef bytes pixels
    cdef bytes sidecar_line
    cdef bytes folder
    cdef tuple names  # keeps alive what `tile` and `sidecar` point into
    cdef PlacedFile tile
    cdef PlacedFile sidecar
    cdef bint busy

    def __cinit__(self, bytes pixels not None, str content_sha256 not None, Py_ssize_t disk_bytes):
        if len(pixels) != disk_bytes:
            raise GateRefusedError("length", disk_bytes, len(pixels))
        digest = hashlib.sha256(pixels).hexdigest()
        if digest != content_sha256:
            raise GateRefusedError("SHA-256", content_sha256, digest)
        if not pixels.startswith(JPEG_START):
            raise GateRefusedError("JPEG start", JPEG_START.hex(), pixels[:len(JPEG_START)].hex())
        if not pixels.endswith(JPEG_END):
            raise GateRefusedError("JPEG end", JPEG_END.hex(), pixels[-len(JPEG_END):].hex())
        self.pixels = pixels
        self.tile.stage = ABSENT
        self.sidecar.stage = ABSENT

    cdef int begin(self) except -1:
        """Claim the object for this call."""
        if self.busy:
            raise RuntimeError("another thread is in the middle of this write")
        self.busy = True
        return 0

    cdef int address(self, object target) except -1:
        """Take the names of what is to be written; see `place`."""
        folder, name, temporary, sidecar_name, sidecar_temporary, sidecar_line = target
        if self.tile.stage != ABSENT or self.sidecar.stage != ABSENT:
            raise RuntimeError("this tile was written already")
        cdef bytes encoded
        names = []
        for part in (folder, name, temporary, sidecar_name, sidecar_temporary):
            encoded = os.fsencode(part)
            if b"\0" in encoded or (part is not folder and b"/" in encoded):
                raise ValueError(f"not the name of a file in a folder: {part!r}")
            names.append(encoded)
        self.folder = names[0]
        self.names = tuple(names[1:])
        self.tile.name = <bytes>self.names[0]
        self.tile.temporary = <bytes>self.names[1]
        self.sidecar.name = <bytes>self.names[2]
        self.sidecar.temporary = <bytes>self.names[3]
        self.sidecar_line = sidecar_line
        return 0

    cdef int write_both(
        self, int folder, const char *pixels, size_t length, const char *line, size_t line_length, bint durable,
        Failure *failure,
    ) noexcept nogil:
        if write_temporary(folder, &self.tile, pixels, length, durable, failure) != 0:
            return -1
        return write_temporary(folder, &self.sidecar, line, line_length, durable, failure)

    cdef int rename_both(self, int folder, Failure *failure) noexcept nogil:
        # The sidecar first: whoever sees the tile also sees what to check it against.
        if rename_into_place(folder, &self.sidecar, failure) != 0:
            return -1
        return rename_into_place(folder, &self.tile, failure)

    cdef int remove_both(self, int folder, Failure *failure) noexcept nogil:
        cdef int tile = remove_ours(folder, &self.tile, failure)
        cdef int sidecar = remove_ours(folder, &self.sidecar, failure)
        return -1 if tile != 0 or sidecar != 0 else 0

    cdef int run(self, int root, bint write, bint rename, bint durable) except -1:
        """Open the folder and do the asked steps in it without the GIL; on failure remove what was made."""
        cdef const char *folder_path = self.folder
        cdef const char *pixels = self.pixels
        cdef size_t length = len(self.pixels)
        cdef const char *line = self.sidecar_line
        cdef size_t line_length = len(self.sidecar_line)
        cdef Failure failure
        cdef Failure ignored
        cdef int folder
        failure.number = 0
        with nogil:
            folder = open_beneath(root, folder_path, O_RDONLY | O_DIRECTORY)
            if folder < 0:
                fail(&failure, b"open")
            else:
                if write:
                    self.write_both(folder, pixels, length, line, line_length, durable, &failure)
                if rename and failure.number == 0:
                    self.rename_both(folder, &failure)
                if rename and durable and failure.number == 0 and sync_retrying(fsync, folder) != 0:
                    fail(&failure, b"fsync")
                if failure.number != 0:
                    # What can't be removed now is a temporary or an orphan, which the next open removes.
                    self.remove_both(folder, &ignored)
                close_quietly(folder)
        if failure.number != 0:
            raise os_error(&failure, os.fsdecode(self.folder + b"/" + <bytes>self.names[0]))
        return 0

    def place(self, int root, object target not None):
        """Write, sync and rename the tile and its sidecar, then sync their folder.

        `root` is a descriptor of the store's root; `target` is (folder below the root, tile's name, its temporary
        name, sidecar's name, its temporary name, the sidecar's line as bytes). Both files get mode 0440. Durable
        when this returns, given that the folder itself is. When it raises `OSError`, neither file is there; the
        error names the call that failed.
        """
        self.begin()
        try:
            self.address(target)
            self.run(root, True, True, True)
        finally:
            self.busy = False

    def write_temporaries(self, int root, object target not None):
        """The first half of `place` without any sync: call `sync_file_system` before `rename`."""
        self.begin()
        try:
            self.address(target)
            self.run(root, True, False, False)
        finally:
            self.busy = False

    def rename(self, int root):
        """The second half of `place` without any sync: durable after the next `sync_file_system`."""
        self.begin()
        try:
            if self.tile.stage != TEMPORARY or self.sidecar.stage != TEMPORARY:
                raise RuntimeError("nothing was written that could be renamed")
            self.run(root, False, True, False)
        finally:
            self.busy = False

    def withdraw(self, int root):
        """Remove the file and the sidecar, under whichever name, unless others have taken their names since.

        Does nothing when nothing is there. A power cut may bring them back. Raises `OSError`.
        """
        cdef Failure failure
        cdef const char *folder_path
        cdef int folder
        failure.number = 0
        self.begin()
        try:
            if self.tile.stage == ABSENT and self.sidecar.stage == ABSENT:
                return
            folder_path = self.folder
            with nogil:
                folder = open_beneath(root, folder_path, O_RDONLY | O_DIRECTORY)
                if folder >= 0:
                    self.remove_both(folder, &failure)
                    close_quietly(folder)
                elif errno == ENOENT:
                    self.tile.stage = ABSENT
                    self.sidecar.stage = ABSENT
                else:
                    fail(&failure, b"open")
            if failure.number != 0:
                raise os_error(&failure, os.fsdecode(self.folder + b"/" + <bytes>self.names[0]))
        finally:
            self.busy = False
