"""The files' half of a tile store, on a local file system."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from ...domain.errors import (
    StoreUnavailableError,
    TileCacheError,
    TileNotFoundError,
)
from ...domain.ports.mapping_cache import MappingCache
from ...domain.ports.tile_catalogue import TileCatalogue
from ...domain.ports.tile_files import MALFORMED_SIDECAR, StagedTile
from ...domain.ports.tile_rows import AwaitedInsert
from ...domain.values.inventory import FoundFile, TileInventory
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId, TileMetadata
from ...ext import (
    CompiledMappingCache,
    CompiledTileCatalogue,
    FastReader,
    GatedWrite,
    GateRefusedError,
    HashedPixels,
    MappedPixels,
    hash_pixels,
    map_cached_tile,
    map_tile,
    open_beneath,
    opens_cached_files_at_once,
    read_cached_tile,
    read_hashed,
    read_tile,
    tile_is_there,
)
from ..reader_threads import ReaderThreads
from .disk import Disk
from .errors import disk_errors, gate_error, no_mapping_left, no_tile_file, store_unavailable
from .folders import OpenFolder, open_below, open_root
from .identity_file import claim_identity, read_identity
from .inventory import take_inventory
from .layout import (
    SIDECAR_LINE_LIMIT,
    TilePath,
    parse_sidecar,
    path_of,
    sidecar_line,
    tile_path,
)
from .placement import Placement
from .quarantine import quarantine_tile, set_sidecar_aside
from .replacement import put_small_file, take_place, unlink
from .staged_file import StagedFile

_READ = os.O_RDONLY | os.O_NONBLOCK  # a FIFO in a file's place must not hang its reader
_HASH_CHUNK_BYTES = 1 << 20
_MAX_THREADS = 4
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_MAY_BE_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV})
"""What opening a symbolic link, a socket or a device without a driver answers."""


class FilesystemTileFiles:
    """A `TileFiles` below `root`, laid out as `layout.py` says, for any number of threads and processes.

    No symbolic link below the root is followed: where one stands, `exists` and the inventory see nothing, and
    everything else raises `StoreUnavailableError`. Empty folders are left where they are: removing them would
    race with writers, and the next tile there needs them again.

    Not promised: that a removed or withdrawn file stays gone after a power cut. It comes back as an orphan,
    which the next open of the store removes.
    """

    def __init__(self, root: Path, *, threads: int | None = None, reader_threads: int = 4) -> None:
        """Open the root, created with its parents and mode 0750 if missing. Raises `StoreUnavailableError`.

        `threads` is the number of threads for batches; default one for each processor, up to four. Reads
        with a deadline that must wait for the disk wait on up to `reader_threads` threads. A file in the page
        cache is read on the caller's thread, without waiting.
        """
        self._path = root
        self._root: OpenFolder | None = open_root(root)
        with disk_errors("open the tile folder", root):
            self._opens_at_once = opens_cached_files_at_once(self._root.fileno())
        self._at_once: list[FastReader] = []
        self._placement = Placement(
            root,
            disk=Disk.of(self._root.fileno()),
            threads=threads or min(_MAX_THREADS, os.cpu_count() or 1),
        )
        self.readers = ReaderThreads(reader_threads)

    def close(self) -> None:
        """Let go of the root; a second call does nothing. Operations under way finish, handles stay valid."""
        self._root = None
        while self._at_once:
            self._at_once.pop().close()
        self.readers.close()

    def __enter__(self) -> FilesystemTileFiles:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __str__(self) -> str:
        return str(self._path)

    def store_id(self) -> UUID | None:
        """See `TileFiles`."""
        return read_identity(self._open_root(), self._path)

    def claim(self, store_id: UUID) -> UUID:
        """See `TileFiles`."""
        return claim_identity(self._open_root(), self._path, store_id)

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        """See `TileFiles`. Raises `TypeError` for anything but immutable `bytes`."""
        return self._stage(pixels, pixels, metadata)

    def _stage(self, given: bytes | HashedPixels, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        try:
            write = GatedWrite(given, metadata.content_sha256, metadata.disk_bytes, metadata.tile_size_pixels)
        except GateRefusedError as refusal:
            raise gate_error(refusal, pixels, metadata) from refusal
        return StagedFile(write, tile_path(metadata.tile_id), metadata.content_sha256)

    def stage_many(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        """See `TileFiles`: hashed by several threads."""

        def stage(some: Sequence[tuple[bytes, TileMetadata]]) -> Iterator[StagedTile | TileCacheError]:
            hashed = hash_pixels([pixels for pixels, _ in some])
            for given, (pixels, metadata) in zip(hashed, some, strict=True):
                try:
                    yield self._stage(given, pixels, metadata)
                except TileCacheError as error:
                    yield error

        return self._placement.in_slices(lambda some: list(stage(some)), tiles)

    def prewrite(self, staged: StagedTile, awaited: AwaitedInsert | None = None) -> None:
        """See `TileFiles`: the interpreter's lock is taken once, after all of it."""
        root = self._root
        if root is not None:
            (file,) = _own(staged)
            self._placement.prewrite(root, file, awaited)

    def place(self, staged: StagedTile) -> None:
        """See `TileFiles`."""
        self._placement.place(self._open_root(), *_own(staged))

    def place_beside(self, staged: StagedTile) -> None:
        """See `TileFiles`."""
        self._placement.place_beside(self._open_root(), *_own(staged))

    def take_place(self, tile_id: TileId, content_sha256: str) -> bool:
        """See `TileFiles`."""
        path = tile_path(tile_id)
        with disk_errors("replace tile file", self._path / path.tile):
            try:
                folder = open_below(self._open_root(), path.folder)
            except FileNotFoundError:
                return False
            return take_place(folder, path, content_sha256)

    def withdraw(self, staged: StagedTile) -> None:
        """See `TileFiles`."""
        self._placement.withdraw(self._open_root(), *_own(staged))

    def prewriting(self, staged: Sequence[StagedTile]) -> AbstractContextManager[None]:
        """See `TileFiles`: on the threads that work on batches."""
        return self._placement.prewriting(self._open_root, _own(*staged))

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        """See `TileFiles`: two syncs of the file system for the whole batch."""
        return self._placement.place_many(self._open_root(), _own(*staged))

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        """See `TileFiles`. Raises `StoreUnavailableError` when what is there is no readable regular file."""
        root = self._root or self._open_root()
        try:
            handle = map_cached_tile(root.descriptor, tile_id) if self._opens_at_once else None
            if handle is None or not handle.was_resident:
                handle = self._map_slowly(root, tile_id, handle, timeout_s)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise no_mapping_left(self._path / tile_path(tile_id).tile, error) from error
            raise self._read_error(tile_id, error) from error
        return handle

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        """See `TileFiles`. Raises `StoreUnavailableError` as `open` does.

        Without a deadline the interpreter's lock is given up for the whole read: such a caller reads many
        tiles, on several threads.
        """
        root = self._root or self._open_root()
        try:
            if timeout_s is None:
                return read_tile(root.descriptor, tile_id)
            pixels = read_cached_tile(root.descriptor, tile_id) if self._opens_at_once else None
            if pixels is not None:
                return pixels
            return self.readers.run(lambda: read_tile(root.descriptor, tile_id), tile_id, timeout_s)
        except OSError as error:
            raise self._read_error(tile_id, error) from error

    def read_hashed(self, tile_ids: Sequence[TileId]) -> list[tuple[bytes, bytes]]:
        """The bytes and the SHA-256 of each of many tiles; waits and raises as `read` does."""
        root = self._open_root()
        found = []
        for tile_id, each in zip(tile_ids, read_hashed(root.descriptor, tile_ids), strict=True):
            if isinstance(each, OSError):
                raise self._read_error(tile_id, each) from each
            found.append(each)
        return found

    def fast_reader(
        self,
        mapping_cache: MappingCache,
        catalogue: TileCatalogue,
        *,
        slow_read_pixels: Callable[[TileId], TilePixelHandle],
        slow_read_bytes: Callable[[TileId], bytes],
    ) -> FastReader | None:
        """See `SupportsFastReader`: compiled, from compiled parts."""
        if not (
            self._opens_at_once
            and isinstance(mapping_cache, CompiledMappingCache)
            and isinstance(catalogue, CompiledTileCatalogue)
        ):
            return None
        reads = FastReader(
            self._open_root(),
            mapping_cache,
            catalogue,
            slow_read_pixels=slow_read_pixels,
            slow_read_bytes=slow_read_bytes,
        )
        self._at_once.append(reads)
        return reads

    def _map_slowly(
        self, root: OpenFolder, tile_id: TileId, opened: MappedPixels | None, timeout_s: float | None
    ) -> MappedPixels:
        """Map what the caches do not have, without the GIL and with no more patience than the caller has."""

        def wait_for_the_disk() -> MappedPixels:
            if opened is None:
                return map_tile(root.descriptor, tile_id)
            opened.prefault()
            return opened

        if timeout_s is None:
            return wait_for_the_disk()
        return self.readers.run(wait_for_the_disk, tile_id, timeout_s)

    def _read_error(self, tile_id: TileId, error: OSError) -> TileCacheError:
        if isinstance(error, FileNotFoundError):
            return TileNotFoundError(tile_id)
        return store_unavailable("read tile file", self._path / tile_path(tile_id).tile, error)

    def exists(self, tile_id: TileId) -> bool:
        """See `TileFiles`. What is no regular file is not the tile's."""
        try:
            return tile_is_there(self._open_root().fileno(), tile_id)
        except OSError as error:
            path = self._path / tile_path(tile_id).tile
            raise store_unavailable("look for tile file", path, error) from error

    def remove(self, tile_id: TileId) -> bool:
        """See `TileFiles`."""
        path = tile_path(tile_id)
        with disk_errors("remove tile file", self._path / path.tile):
            try:
                folder = open_below(self._open_root(), path.folder)
            except FileNotFoundError:
                return False
            was_there = unlink(folder, path.name)
            unlink(folder, path.sidecar_name)
        return was_there

    def quarantine(self, tile_id: TileId) -> str | None:
        """See `TileFiles`: below `.quarantine`, where no store and no web server looks for tiles."""
        with disk_errors("quarantine tile file", self._path / tile_path(tile_id).tile):
            return quarantine_tile(self._open_root(), tile_path(tile_id))

    def discard(self, found: FoundFile) -> bool:
        """See `TileFiles`."""
        path = path_of(found)
        folder_path, _, name = path.rpartition("/")
        with disk_errors("remove", self._path / path):
            try:
                folder = open_below(self._open_root(), folder_path)
            except FileNotFoundError:
                return False
            return unlink(folder, name)

    def inventory(self) -> TileInventory:
        """See `TileFiles`. Foreign files, and whatever is no regular file, are passed by."""
        return take_inventory(self._open_root(), self._path)

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        """See `TileFiles`: by rename, durable when this returns; a folder in its place is set aside."""
        path = tile_path(tile_id)
        line = sidecar_line(content_sha256, path.name).encode("ascii")
        with disk_errors("write sidecar", self._path / path.sidecar):
            folder = open_below(self._open_root(), path.folder)
            try:
                put_small_file(folder, path.sidecar_name, line)
            except IsADirectoryError:
                set_sidecar_aside(self._open_root(), path)
                put_small_file(folder, path.sidecar_name, line)

    def content_sha256(self, tile_id: TileId) -> str:
        """See `TileFiles`. Reads rather than maps: a failing disk is then an error, not a SIGBUS."""
        root = self._open_root()
        path = tile_path(tile_id)
        with disk_errors("hash tile file", self._path / path.tile):
            try:
                descriptor = open_beneath(root.fileno(), path.tile, _READ)
            except FileNotFoundError as error:
                raise TileNotFoundError(tile_id) from error
            except OSError as error:
                if error.errno in _MAY_BE_NO_FILE and _is_no_file(root, path):
                    raise no_tile_file(self._path / path.tile) from error
                raise
            digest = hashlib.sha256()
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise no_tile_file(self._path / path.tile)
                while chunk := os.read(descriptor, _HASH_CHUNK_BYTES):
                    digest.update(chunk)
            finally:
                os.close(descriptor)
        return digest.hexdigest()

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        """See `TileFiles`."""
        root = self._open_root()
        path = tile_path(tile_id)
        try:
            descriptor = open_beneath(root.fileno(), path.sidecar, _READ)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            if error.errno == errno.ENXIO:  # a socket
                return MALFORMED_SIDECAR
            raise store_unavailable("read sidecar", self._path / path.sidecar, error) from error
        with disk_errors("read sidecar", self._path / path.sidecar):
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return MALFORMED_SIDECAR
                line = os.read(descriptor, SIDECAR_LINE_LIMIT + 1)
            finally:
                os.close(descriptor)
        return parse_sidecar(line.decode("ascii", errors="replace"), path.name) or MALFORMED_SIDECAR

    def _open_root(self) -> OpenFolder:
        root = self._root
        if root is None:
            raise StoreUnavailableError(f"the tile files in {self._path} are closed", remedy="open the store")
        return root


def _own(*staged: StagedTile) -> list[StagedFile]:
    files = []
    for tile in staged:
        if not isinstance(tile, StagedFile):
            raise TypeError(f"not staged by a FilesystemTileFiles: {tile!r}")
        files.append(tile)
    return files


def _is_no_file(root: OpenFolder, path: TilePath) -> bool:
    """Whether the very last part of a tile's path is there and no regular file. Raises `OSError`."""
    folder = open_below(root, path.folder)
    facts = os.stat(path.name, dir_fd=folder.fileno(), follow_symlinks=False)
    return not stat.S_ISREG(facts.st_mode)
