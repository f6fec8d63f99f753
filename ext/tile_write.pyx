"""The hash-gated, durable, atomic write of a tile and its sidecar, alone or as part of a batch."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport ENOENT

from _atomic_file cimport ABSENT, PLACED, TEMPORARY, Failure, Stage, fail, sync_retrying
from _atomic_pair cimport (
    PairStep,
    AtomicPair,
    forget_unnamed,
    is_ahead,
    link_pair,
    link_sidecar,
    open_folder,
    place_pair,
    place_tile,
    remove_pair,
    add_sidecar,
    rename_tile,
    step_pairs,
    write_pair_ahead,
    write_tile,
)
from _constants cimport NO_FAULT, SHA256_BYTES
from _jpeg cimport JpegWalk
from _posix cimport close_quietly, dev_t, syncfs
from aerotile.ext.awaited_insert cimport AwaitedInsert
from aerotile.ext.pixel_hashes cimport HashedPixels

import os


class GateRefusedError(ValueError):
    """The bytes are not what was promised. `what` is "length", "SHA-256" or "JPEG".

    For "JPEG" `expected` is the size in pixels, `actual` what `walk_jpeg` returns.
    """

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

    `GatedWrite(pixels, content_sha256, disk_bytes, tile_size_pixels)` does no I/O. It raises `GateRefusedError`
    unless `pixels` has `disk_bytes` bytes, has the SHA-256 `content_sha256` (64 lower-case hexadecimal digits),
    and is a JPEG without fault whose width and height are `tile_size_pixels`. Only `bytes` are taken, or what
    `hash_pixels` made of them: no code can change them between gate and disk.

    One write at a time: a second thread's call on the same object raises `RuntimeError`.
    """

    cdef bytes pixels
    cdef tuple target  # the bytes that `pair` points into
    cdef AtomicPair pair
    cdef bint busy
    cdef bint placed_ahead  # by `prewrite`; `outcome` is why that failed, or 0
    cdef Failure outcome

    def __cinit__(self, given not None, str content_sha256 not None, Py_ssize_t disk_bytes, tile_size_pixels not None):
        cdef HashedPixels hashed = given if isinstance(given, HashedPixels) else HashedPixels(<bytes?>given)
        cdef bytes pixels = hashed.pixels
        cdef JpegWalk walk
        self.pair.tile.stage = ABSENT
        self.pair.tile.descriptor = -1
        self.pair.sidecar.stage = ABSENT
        self.pair.sidecar.descriptor = -1
        if len(pixels) != disk_bytes:
            raise GateRefusedError("length", disk_bytes, len(pixels))
        if hashed is not given:
            hashed.hash()
        elif not hashed.is_hashed:
            raise TypeError("these pixels were not hashed")
        digest = hashed.digest[:SHA256_BYTES].hex()
        if digest != content_sha256:
            raise GateRefusedError("SHA-256", content_sha256, digest)
        walk = hashed.walk
        if walk.fault != NO_FAULT or walk.width != tile_size_pixels or walk.height != tile_size_pixels:
            found = (walk.fault, walk.position, walk.width, walk.height)
            raise GateRefusedError("JPEG", tile_size_pixels, found)
        self.pixels = pixels
        self.pair.pixels = pixels
        self.pair.length = len(pixels)

    def __dealloc__(self):
        forget_unnamed(&self.pair)

    cdef int begin(self) except -1:
        """Claim the object for this call."""
        if self.busy:
            raise RuntimeError("another thread is in the middle of this write")
        self.busy = True
        return 0

    cdef int address(self, object target) except -1:
        """Take the names of the files to write; see `place`."""
        folder, name, temporary, sidecar_name, sidecar_temporary, sidecar_line = target
        if self.pair.tile.stage != ABSENT or self.pair.sidecar.stage != ABSENT:
            raise RuntimeError("this tile was written already")
        self.target = (
            file_system_name(folder, True),
            file_system_name(name, False),
            file_system_name(temporary, False),
            file_system_name(sidecar_name, False),
            file_system_name(sidecar_temporary, False),
            <bytes?>sidecar_line,
        )
        self.pair.folder = <bytes>self.target[0]
        self.pair.tile.name = <bytes>self.target[1]
        self.pair.tile.temporary = <bytes>self.target[2]
        self.pair.sidecar.name = <bytes>self.target[3]
        self.pair.sidecar.temporary = <bytes>self.target[4]
        self.pair.line = <bytes>self.target[5]
        self.pair.line_length = len(<bytes>self.target[5])
        return 0

    cdef object failed(self, Failure *failure):
        """The `OSError` for a failure of this write."""
        return os_error(failure, os.fsdecode(self.target[0] + b"/" + self.target[1]))

    def prewrite(
        self,
        int root,
        object target not None,
        dev_t device,
        dev_t name_syncing_device=0,
        AwaitedInsert awaited=None,
        int wait_ms=0,
    ):
        """Write both files without a name ahead of `place`, and start sending them to the device (optional).

        Takes what `place` takes, and does nothing unless the folder lies on `device`. Then waits, up to `wait_ms`,
        for the answer to the INSERT `awaited`. Where it is a whole answer without an error, says that one row is
        inserted, and is of a transaction that is open, the files are placed too, and `place` reports how that went.
        Where they are durable, the COMMIT of `awaited` is sent, and its answer comes while the GIL is waited for, which
        is taken once for all of it. Never raises `OSError`: after a failure here `place` writes the files, or reports the error.
        The unnamed files end with `withdraw`, with this object, or with the process.
        """
        cdef Failure ignored
        ignored.number = 0
        self.begin()
        try:
            self.address(target)
            with nogil:
                write_pair_ahead(root, &self.pair, device, &ignored)
                if awaited is not None and awaited.says_one_row(wait_ms) and is_ahead(&self.pair):
                    self.link(root, name_syncing_device)
                    if self.placed_ahead and self.outcome.number == 0:
                        awaited.commit()
        finally:
            self.busy = False

    cdef int link(self, int root, dev_t name_syncing_device) noexcept nogil:
        """Place what was written ahead. Where no name can be given like this, nothing is there any more."""
        cdef bint named
        self.outcome.number = 0
        link_pair(root, &self.pair, name_syncing_device, &named, &self.outcome)
        self.placed_ahead = named
        return 0

    def place(self, int root, object target not None, dev_t name_syncing_device=0):
        """Write the tile and its sidecar, rename both, then sync the tile, and their folder where it is needed.

        `root` is a descriptor of the store's root; `target` is (folder below the root, tile's name, its
        temporary name, sidecar's name, its temporary name, the sidecar's line as bytes). Both files get mode
        0440. `name_syncing_device` is the device (`st_dev`) of a file system that syncs a new file's name with the
        file; 0 for none. The tile is durable when this returns, given that the folder itself is; the sidecar may
        be lost by a power cut. When it raises `OSError`, neither file is there; the error names the call that
        failed.
        """
        cdef Failure failure
        failure.number = 0
        self.begin()
        try:
            if is_ahead(&self.pair):
                with nogil:
                    self.link(root, name_syncing_device)
            if self.placed_ahead:
                self.placed_ahead = False
                if self.outcome.number != 0:
                    raise self.failed(&self.outcome)
                return
            self.address(target)  # where no name could be given, this way says why, if it can't either
            with nogil:
                place_pair(root, &self.pair, name_syncing_device, &failure)
            if failure.number != 0:
                raise self.failed(&failure)
        finally:
            self.busy = False

    def place_alone(self, int root, object target not None, dev_t name_syncing_device=0):
        """`place` for the tile without a sidecar, whose names in `target` are not used."""
        cdef Failure failure
        failure.number = 0
        self.begin()
        try:
            self.address(target)
            with nogil:
                place_tile(root, &self.pair, name_syncing_device, &failure)
            if failure.number != 0:
                raise self.failed(&failure)
        finally:
            self.busy = False

    @property
    def has_temporaries(self):
        """Whether the file or the sidecar is there under its temporary name."""
        return self.pair.tile.stage == TEMPORARY or self.pair.sidecar.stage == TEMPORARY

    @property
    def device(self):
        """The device (`st_dev`) that the tile was last written to; 0 before."""
        return self.pair.tile.device

    def withdraw(self, int root):
        """Remove the file and the sidecar, under whichever name, unless others have taken their names since.

        Does nothing when nothing is there. A power cut may bring them back. Raises `OSError`.
        """
        cdef Failure failure
        cdef int folder
        failure.number = 0
        self.begin()
        try:
            self.placed_ahead = False
            forget_unnamed(&self.pair)
            if self.pair.tile.stage == ABSENT and self.pair.sidecar.stage == ABSENT:
                return
            with nogil:
                folder = open_folder(root, &self.pair, &failure)
                if folder >= 0:
                    remove_pair(folder, &self.pair, &failure)
                    close_quietly(folder)
            if folder < 0 and failure.number == ENOENT:
                self.pair.tile.stage = ABSENT
                self.pair.sidecar.stage = ABSENT
            elif failure.number != 0:
                raise self.failed(&failure)
        finally:
            self.busy = False


cdef bytes file_system_name(object name, bint is_path):
    """The name as the system takes it. Raises `TypeError`, and `ValueError` for what leaves the folder."""
    cdef bytes encoded = os.fsencode(<str?>name)
    if b"\0" in encoded or (not is_path and b"/" in encoded):
        raise ValueError(f"not the name of a file in a folder: {name!r}")
    return encoded


def write_temporaries(int root, writes not None, targets not None):
    """The first half of `place` for a batch, without any sync: call `sync_file_system` before `rename_all`.

    Entry i of the result is the `OSError` because of which write i is not on the disk, or None. The whole
    batch is written in one stretch without the GIL, a folder opened once for neighbours that lie in it.
    """
    batch = tuple(writes)
    targets = tuple(targets)
    if len(batch) != len(targets):
        raise ValueError(f"{len(batch)} writes, {len(targets)} targets")
    return step_batch(root, batch, targets, write_tile, ABSENT)


def rename_all(int root, writes not None):
    """The second half of `place` for a batch, without any sync: durable after the next `sync_file_system`.

    Returns what `write_temporaries` returns.
    """
    return step_batch(root, tuple(writes), None, rename_tile, TEMPORARY)


def add_sidecars(int root, writes not None, *, bint unnamed):
    """The last step of `place` for a batch whose tiles are durable: their sidecars, which are not.

    `unnamed` says that files without a name get one safely on this file system. Returns what
    `write_temporaries` returns.
    """
    return step_batch(root, tuple(writes), None, link_sidecar if unnamed else add_sidecar, PLACED)


cdef list step_batch(int root, tuple batch, object targets, PairStep step, Stage stage):
    """Do `step` for each write whose tile is in `stage`, addressed first when there are targets."""
    cdef Py_ssize_t count = len(batch)
    cdef Py_ssize_t place
    cdef Py_ssize_t begun = 0
    cdef GatedWrite write
    cdef AtomicPair **pairs = NULL
    cdef Failure *failures = NULL
    try:
        pairs = <AtomicPair **>PyMem_Malloc((count + 1) * sizeof(AtomicPair *))
        failures = <Failure *>PyMem_Malloc((count + 1) * sizeof(Failure))
        if pairs == NULL or failures == NULL:
            raise MemoryError
        for place in range(count):
            write = <GatedWrite?>batch[place]
            write.begin()
            begun += 1
            if targets is not None:
                write.address(targets[place])
            elif write.pair.tile.stage != stage or write.pair.sidecar.stage != ABSENT:
                raise RuntimeError("nothing was written for this step of a batch")
            pairs[place] = &write.pair
        with nogil:
            step_pairs(root, pairs, failures, count, step)
        return [
            (<GatedWrite>batch[place]).failed(&failures[place]) if failures[place].number != 0 else None
            for place in range(count)
        ]
    finally:
        for place in range(begun):
            (<GatedWrite>batch[place]).busy = False
        PyMem_Free(pairs)
        PyMem_Free(failures)
