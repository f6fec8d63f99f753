"""What a query of the compiled catalogue found. `adapters.memory.catalogue_matches` is the reference."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.datetime cimport import_datetime
from libc.stdint cimport int64_t

from _catalogue_entry cimport EntryLayout, entry_of, learn_entry
from _row_blocks cimport Row
from _tile_id cimport tile_id_of

import numpy as np

from ..domain.values.catalogue_entries import CatalogueEntry, VOTING_CODES
from ..domain.values.timestamps import EPOCH
from ..domain.values.tiles import FreshnessLabel, TileId, TileSource

import_datetime()

cdef EntryLayout LAYOUT
learn_entry(&LAYOUT, TileId, TileSource, CatalogueEntry, EPOCH, FreshnessLabel, VOTING_CODES)


@cython.final
cdef class CompiledCatalogueMatches:
    """See `CatalogueMatches`. Holds copied rows of the catalogue and the flights that their keys name."""

    cdef bytes copied
    cdef const Row *rows  # in `copied`
    cdef Py_ssize_t count
    cdef tuple flights

    def __cinit__(self, bytes copied not None, tuple flights not None):
        if PyBytes_GET_SIZE(copied) % sizeof(Row) != 0:
            raise ValueError(f"{len(copied)} bytes are no whole number of rows")
        self.copied = copied
        self.rows = <const Row *>PyBytes_AS_STRING(copied)
        self.count = PyBytes_GET_SIZE(copied) // <Py_ssize_t>sizeof(Row)
        self.flights = flights

    @property
    def keys(self):
        """See `CatalogueMatches`."""
        # The key is the first of a row's fields, and a row as long as some whole number of keys.
        keys = np.frombuffer(self.copied, np.int64)[:: sizeof(Row) // sizeof(int64_t)].copy()
        keys.flags.writeable = False
        return keys

    def tile_ids(self):
        """See `CatalogueMatches`."""
        cdef Py_ssize_t position
        return [tile_id_of(self.rows[position].key, &LAYOUT.tile_id, self.flights) for position in range(self.count)]

    def __len__(self):
        return self.count

    def __getitem__(self, position):
        cdef Py_ssize_t number
        if isinstance(position, slice):
            return [entry_of(&self.rows[number], &LAYOUT, self.flights) for number in range(self.count)[position]]
        number = position
        if number < 0:
            number += self.count
        if not 0 <= number < self.count:
            raise IndexError(f"there are {self.count} matches, asked for {position}")
        return entry_of(&self.rows[number], &LAYOUT, self.flights)

    def __iter__(self):
        return map(self.__getitem__, range(self.count))
