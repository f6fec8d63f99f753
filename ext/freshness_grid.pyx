# cython: boundscheck=False, wraparound=False
"""The first sector over a tile, and the freshness verdict on it, in one call without a lock."""

cimport cython
from cpython.datetime cimport (
    import_datetime,
    timedelta,
    timedelta_days,
    timedelta_microseconds,
    timedelta_new,
    timedelta_seconds,
)
from cpython.object cimport PyTypeObject

from _constants cimport MAX_ZOOM
from _slots cimport PyObject_TypeCheck, PyType_GenericAlloc, fill_slot, slot, slot_offset

import numpy as np

from ..domain.policies.freshness import FreshnessDecision, FreshnessVerdict, TOO_OLD
from ..domain.values.timestamps import EPOCH, MICROSECOND
from ..domain.values.sectors import SectorClassification
from ..domain.values.tiles import TileId

import_datetime()

cdef long long DAY_US = 86_400_000_000
cdef long long FARTHEST_US = 1_000_000_000_000_000_000  # beyond every datetime; sums and differences still fit
cdef object BEGINNING = EPOCH
cdef object ACCEPT = FreshnessDecision.ACCEPT

# Where instances of these classes hold their attributes.
cdef object TILE_ID = TileId
cdef Py_ssize_t ZOOM_LEVEL = slot_offset(TileId, "zoom_level")
cdef Py_ssize_t X = slot_offset(TileId, "x")
cdef Py_ssize_t Y = slot_offset(TileId, "y")
cdef object VERDICT = FreshnessVerdict
cdef Py_ssize_t DECISION = slot_offset(FreshnessVerdict, "decision")
cdef Py_ssize_t AGE = slot_offset(FreshnessVerdict, "age")
cdef Py_ssize_t RULE = slot_offset(FreshnessVerdict, "rule")
cdef Py_ssize_t SECTOR = slot_offset(FreshnessVerdict, "sector")
cdef Py_ssize_t CLOCK_FAULT = slot_offset(FreshnessVerdict, "clock_fault")

cdef struct Tile:
    int zoom
    int x
    int y


cdef int read_tile(object tile_id, Tile *tile) except -1:
    """Take a `TileId` apart. Raises `TypeError`, or `ValueError` for a tile that the grid lacks."""
    if not PyObject_TypeCheck(tile_id, <PyTypeObject *>TILE_ID):
        raise TypeError(f"expected a TileId, got {tile_id!r}")
    cdef int zoom = <object>slot(tile_id, ZOOM_LEVEL)
    cdef int x = <object>slot(tile_id, X)
    cdef int y = <object>slot(tile_id, Y)
    if not (0 <= zoom <= MAX_ZOOM and 0 <= x < 1 << zoom and 0 <= y < 1 << zoom):
        raise ValueError(f"no tile of the grid: {zoom}/{x}/{y}")
    tile.zoom, tile.x, tile.y = zoom, x, y
    return 0


@cython.final
cdef class SectorGrid:
    """Sectors in a fixed order, and which of them is the first over a tile.

    `SectorGrid(sectors, lines, children, firsts, starts, candidates)`. Row i of `lines`, int32 (n, 4), is what
    `touched_lines` says of sector i. The other arrays, int32, describe cells; cell 0 is the world, and each is
    a tile. `children` holds the first of a cell's four children (north-west, north-east, south-west,
    south-east), all behind the cell itself, or 0 for a cell that has none. `firsts` holds the first sector
    over the cell, n for none; in a cell without children, the first of those that every tile in it touches.
    Its `candidates[starts[i]:starts[i + 1]]`, ascending, are those before it that some tiles in it touch.

    The arrays are copied. Raises `ValueError` for arrays that don't fit together. A grid never changes, so any
    number of threads may ask concurrently.
    """

    cdef readonly tuple sectors
    cdef const int[:, ::1] lines
    cdef const int[::1] children
    cdef const int[::1] firsts
    cdef const int[::1] starts
    cdef const int[::1] candidates

    def __cinit__(self, tuple sectors not None, lines, children, firsts, starts, candidates):
        self.sectors = sectors
        self.lines = np.array(lines, np.int32, order="C", copy=True)
        self.children = np.array(children, np.int32, copy=True)
        self.firsts = np.array(firsts, np.int32, copy=True)
        self.starts = np.array(starts, np.int32, copy=True)
        self.candidates = np.array(candidates, np.int32, copy=True)
        if not self.fits_together():
            raise ValueError("the arrays of a sector grid don't fit together")

    cdef bint fits_together(self) noexcept:
        """Whether no answer can lead outside of the arrays, or into a cycle."""
        cdef Py_ssize_t cells = self.children.shape[0]
        cdef Py_ssize_t sectors = len(self.sectors)
        cdef Py_ssize_t i
        if (
            cells == 0
            or self.lines.shape[0] != sectors
            or self.lines.shape[1] != 4
            or self.firsts.shape[0] != cells
            or self.starts.shape[0] != cells + 1
            or self.starts[0] != 0
            or self.starts[cells] != self.candidates.shape[0]
        ):
            return False
        for i in range(cells):
            if self.children[i] != 0 and not i < self.children[i] <= cells - 4:
                return False
            if not 0 <= self.firsts[i] <= sectors or self.starts[i] > self.starts[i + 1]:
                return False
        for i in range(self.candidates.shape[0]):
            if not 0 <= self.candidates[i] < sectors:
                return False
        return True

    def __len__(self):
        return len(self.sectors)

    def first_over(self, tile_id):
        """The first sector whose box shares a point with the tile's, edges included; None when none does."""
        cdef Tile tile
        read_tile(tile_id, &tile)
        return self.sector_over(&tile)

    cdef object sector_over(self, const Tile *tile):
        cdef int found = self.position_over(tile)
        return self.sectors[found] if found < <int>len(self.sectors) else None

    cdef int position_over(self, const Tile *tile) noexcept nogil:
        """The position of the first sector over the tile; the number of sectors when there is none."""
        cdef int cell = 0
        cdef int below = tile.zoom
        while self.children[cell] != 0:
            if below == 0:
                return self.firsts[cell]
            below -= 1
            cell = self.children[cell] + (tile.y >> below & 1) * 2 + (tile.x >> below & 1)
        cdef int finer = MAX_ZOOM - tile.zoom
        cdef int left = tile.x << finer
        cdef int top = tile.y << finer
        cdef int right = (tile.x + 1) << finer
        cdef int bottom = (tile.y + 1) << finer
        cdef int i, position
        for i in range(self.starts[cell], self.starts[cell + 1]):
            position = self.candidates[i]
            if (
                self.lines[position, 0] <= right
                and self.lines[position, 1] <= bottom
                and self.lines[position, 2] >= left
                and self.lines[position, 3] >= top
            ):
                return position
        return self.firsts[cell]


@cython.final
cdef class _Ruling:
    """What one classification says: its sectors, and its rule."""

    cdef SectorGrid grid
    cdef object rule
    cdef object too_old
    cdef int strictness
    cdef long long max_age_us

    def __cinit__(self, SectorGrid grid, rule):
        self.grid = grid
        self.rule = rule
        self.too_old = TOO_OLD[rule.classification]
        self.strictness = self.too_old
        self.max_age_us = min(rule.max_age // MICROSECOND, FARTHEST_US)


@cython.final
cdef class SectorGridJudge:
    """A `TileJudge` over one grid for each classification; see `domain.policies.freshness.judge_freshness`.

    `SectorGridJudge(grids, rules, default_classification)`, both mappings by classification. Raises `KeyError`
    when the default or a classification with sectors has no rule.
    """

    cdef tuple rulings
    cdef _Ruling default

    def __cinit__(self, grids, rules, default_classification):
        # From the strictest to the most lenient, as they are declared: the earlier wins between equals.
        self.rulings = tuple(
            _Ruling(grids[kind], rules[kind]) for kind in SectorClassification if kind in grids and len(grids[kind])
        )
        self.default = _Ruling(None, rules[default_classification])

    def verdict_on(self, tile_id, long long captured_us, now):
        """The verdict on a tile captured at `captured_us`, in microseconds since 1970, as of `now`.

        Raises `OverflowError` for a capture time beyond every calendar.
        """
        if not -FARTHEST_US <= captured_us <= FARTHEST_US:
            raise OverflowError(f"captured_us is no time: {captured_us}")
        cdef long long age_us = max(microseconds_in(now - BEGINNING) - captured_us, 0)
        cdef Tile tile
        read_tile(tile_id, &tile)
        cdef _Ruling ruling, found = None
        cdef object sector, strictest = None
        for ruling in self.rulings:
            sector = ruling.grid.sector_over(&tile)
            if sector is not None and (found is None or severity(ruling, age_us) > severity(found, age_us)):
                found, strictest = ruling, sector
        return verdict(self.default if found is None else found, age_us, strictest)


cdef inline int severity(_Ruling ruling, long long age_us) noexcept:
    return 0 if age_us <= ruling.max_age_us else ruling.strictness


cdef object verdict(_Ruling ruling, long long age_us, object sector):
    """A `FreshnessVerdict`; filled in without its `__init__`, which takes longer than everything else here."""
    cdef object made = PyType_GenericAlloc(<PyTypeObject *>VERDICT, 0)
    fill_slot(made, DECISION, ACCEPT if age_us <= ruling.max_age_us else ruling.too_old)
    fill_slot(made, AGE, duration_of(age_us))
    fill_slot(made, RULE, ruling.rule)
    fill_slot(made, SECTOR, sector)
    fill_slot(made, CLOCK_FAULT, None)
    return made


cdef inline long long microseconds_in(timedelta duration) noexcept:
    return (
        timedelta_days(duration) * DAY_US
        + timedelta_seconds(duration) * <long long>1_000_000
        + timedelta_microseconds(duration)
    )


cdef inline timedelta duration_of(long long microseconds):
    # Python's own division rounds down, as timedelta's three parts want it; Cython keeps to that.
    cdef long long within_day = microseconds % DAY_US
    return timedelta_new(
        <int>(microseconds // DAY_US), <int>(within_day // 1_000_000), <int>(within_day % 1_000_000)
    )
