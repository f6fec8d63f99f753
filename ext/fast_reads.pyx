"""Reads of committed tiles that wait for nothing, each in one call and with the GIL held.

`aerotile.domain.store.read_tile` is the reference: these are its steps, in its order. Every other case is a slow
read there: the caches lack the file; it is missing, is no regular file, has another length than was committed, or
can't be mapped.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport malloc

from _mapping_keys cimport MappingKey, mapping_key_of
from _mappings cimport Mapping
from _posix cimport (
    MAP_FAILED,
    MAP_SHARED,
    PROT_READ,
    SEEK_END,
    _SC_PAGESIZE,
    aerotile_cached_pages,
    aerotile_pread_cached,
    close_quietly,
    lseek,
    mmap,
    munmap,
    sysconf,
)
from _regular_file cimport open_for_reading
from _page_residency cimport is_in_core
from _tile_parts cimport TILE_PATH_BYTES, TilePartsLayout, TileParts, learn_parts_layout, parts_of, put_path
from aerotile.ext.catalogue cimport CompiledTileCatalogue
from aerotile.ext.mapped_pixels cimport new_handle
from aerotile.ext.mapping_cache cimport CompiledMappingCache

from uuid import UUID

from ..domain.values.tiles import TileId, TileSource

cdef Py_ssize_t PAGE_BYTES = sysconf(_SC_PAGESIZE)
cdef TilePartsLayout layout
learn_parts_layout(&layout, TileId, TileSource, UUID)

cdef enum:
    CLOSED = -1
    MAX_COPIED = 1 << 20  # bytes: the most that a read allocates before it has seen the file


@cython.final
cdef class FastReader:
    """See `aerotile.domain.store.read_tile.FastReader`: over the files below the open folder `root`.

    `slow_read_pixels` and `slow_read_bytes` read whatever this class does not. Raises `TypeError` for anything but `CompiledMappingCache`
    and a `CompiledTileCatalogue`.
    """

    cdef object root, slow_read_pixels, slow_read_bytes, check
    cdef CompiledMappingCache mapping_cache
    cdef CompiledTileCatalogue catalogue
    cdef int directory

    def __cinit__(
        self,
        root not None,
        CompiledMappingCache mapping_cache not None,
        CompiledTileCatalogue catalogue not None,
        *,
        slow_read_pixels,
        slow_read_bytes,
    ):
        self.root, self.mapping_cache, self.catalogue = root, mapping_cache, catalogue
        self.slow_read_pixels, self.slow_read_bytes = slow_read_pixels, slow_read_bytes
        self.directory = root.fileno()

    def close(self):
        """Drop the root: from now on every read of a tile that is not cached is a slow read."""
        self.directory = CLOSED
        self.root = None

    def check_by(self, check):
        """See `FastReader`."""
        self.check = check

    def read_pixels(self, tile_id):
        """See `FastReader`. Raises `TypeError` for anything but a `TileId`."""
        cdef TileParts parts
        cdef MappingKey key
        cdef uint32_t ticket
        cdef int64_t length
        cdef Mapping *mapping
        parts_of(&layout, tile_id, &parts)
        mapping_key_of(&parts, &key)
        handle = self.mapping_cache.get_by_key(&key)
        if handle is not None:
            return handle
        ticket = self.mapping_cache.ticket_by_key(&key)
        if self.check is not None:
            self.check(tile_id)
        length = self.catalogue.disk_bytes_of(tile_id)
        mapping = map_cached(self.directory, &parts, length) if length > 0 else NULL
        if mapping == NULL:
            return self.slow_read_pixels(tile_id)
        handle = new_handle(mapping)
        return self.mapping_cache.put_by_key(&key, tile_id, handle, mapping, ticket)

    def read_bytes(self, tile_id):
        """See `FastReader`. Raises `TypeError` for anything but a `TileId`."""
        cdef TileParts parts
        cdef int64_t length
        parts_of(&layout, tile_id, &parts)
        if self.check is not None:
            self.check(tile_id)
        length = self.catalogue.disk_bytes_of(tile_id)
        content = read_cached(self.directory, &parts, length) if 0 < length <= MAX_COPIED else None
        if content is None:
            return self.slow_read_bytes(tile_id)
        self.mapping_cache.note_id(tile_id)
        return content


cdef Mapping *map_cached(int directory, const TileParts *parts, Py_ssize_t length) noexcept:
    """The tile's file mapped, if it is so long and the caches have it; else NULL."""
    cdef char path[TILE_PATH_BYTES]
    cdef int descriptor
    cdef int64_t cached
    cdef void *address = MAP_FAILED
    cdef Mapping *mapping
    put_path(&layout, parts, path)
    descriptor = open_for_reading(directory, path, True)
    if descriptor < 0:
        return NULL
    # The length tells whether it is the file that was committed, at half of what fstat takes. A FIFO has none, and
    # a folder can't be mapped.
    if lseek(descriptor, 0, SEEK_END) == length:
        cached = aerotile_cached_pages(descriptor, <uint64_t>length)
        if cached < 0 or cached >= (length + PAGE_BYTES - 1) // PAGE_BYTES:
            address = mmap(NULL, <size_t>length, PROT_READ, MAP_SHARED, descriptor, 0)
            if address != MAP_FAILED and cached < 0 and not is_in_core(address, length, PAGE_BYTES):
                munmap(address, <size_t>length)
                address = MAP_FAILED
    close_quietly(descriptor)
    if address == MAP_FAILED:
        return NULL
    mapping = <Mapping *>malloc(sizeof(Mapping))
    if mapping == NULL:
        munmap(address, <size_t>length)
        return NULL
    mapping.references = 0
    mapping.address = address
    mapping.length = length
    mapping.queue = NULL
    mapping.whole = NULL
    return mapping


cdef bytes read_cached(int directory, const TileParts *parts, Py_ssize_t length):
    """The content of the tile's file, if it is so long and the caches have it; else None."""
    cdef char path[TILE_PATH_BYTES]
    cdef bytes content = PyBytes_FromStringAndSize(NULL, length)
    cdef char *start = PyBytes_AS_STRING(content)
    cdef Py_ssize_t count
    cdef int descriptor
    put_path(&layout, parts, path)
    descriptor = open_for_reading(directory, path, True)
    if descriptor < 0:
        return None
    # Asked for one byte more, which would lie where the closing NUL belongs: so an answer of this length says that
    # it is all of the file, and no fstat is needed. A FIFO or a folder can't be read like that.
    count = aerotile_pread_cached(descriptor, start, length + 1, 0)
    close_quietly(descriptor)
    start[length] = 0
    return content if count == length else None
