"""The hash-gated, durable, atomic write of a tile and its sidecar."""

cimport cython
from libc.errno cimport ENOENT, errno

from _placed_file cimport (
    ABSENT,
    TEMPORARY,
    Failure,
    PlacedFile,
    fail,
    remove_ours,
    rename_into_place,
    sync_retrying,
    write_temporary,
)
from _posix cimport O_DIRECTORY, O_RDONLY, close_quietly, fsync, open_beneath, syncfs

import hashlib
import os

cdef bytes JPEG_START = b"\xff\xd8\xff"
cdef bytes JPEG_END = b"\xff\xd9"


class GateRefusedError(ValueError):
    """The bytes are not what was promised. `what` is "length", "SHA-256", "JPEG start" or "JPEG end"."""

    def __init__(self, what, expected, actual):
        super().__init__(f"{what} is {actual}, expected {expected}")
        self.what = what
        self.expected = expected
        self.actual = actual


cdef object os_error(Failure *failure, str path):
    """The `OSError` that says which call failed on which path."""
    return OSError(failure.number, f"{os.strerror(failure.number)} ({failure.call.decode()})", path)


def sync_file_system(int descriptor):
    """Make everything written to the file system that `descriptor` lies on durable. Raises `OSError`.

    An I/O error is reported once per descriptor, and only when it came after that descriptor was opened: open
    one before the writes that this call is to vouch for, and don't share it.
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

    `GatedWrite(pixels, content_sha256, disk_bytes)` does no I/O. It raises `GateRefusedError` unless `pixels`
    has `disk_bytes` bytes, has the SHA-256 `content_sha256` (64 lower-case hexadecimal digits), and begins
    and ends with JPEG's markers. Only `bytes` are taken: nobody can change them between gate and disk.

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
        self,
        int folder,
        const char *pixels,
        size_t length,
        const char *line,
        size_t line_length,
        bint durable,
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

        `root` is a descriptor of the store's root; `target` is (folder below the root, tile's name, its
        temporary name, sidecar's name, its temporary name, the sidecar's line as bytes). Both files get mode
        0440. Durable when this returns, given that the folder itself is. When it raises `OSError`, neither
        file is there; the error names the call that failed.
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
