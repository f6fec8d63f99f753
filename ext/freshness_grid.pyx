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

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from _constants cimport MAX_ZOOM, ROUNDING
from _grid_positions cimport EAST_OF_ANTIMERIDIAN, SOUTH_OF_NORTH_POLE, position
from _polygon_lines cimport Box, Line, line_at, separates, touches
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
cdef Py_ssize_t RECALLED = slot_offset(FreshnessVerdict, "recalled")

cdef struct Tile:
    int zoom
    int x
    int y


cdef struct Window:
    # Where the edges of a tile or of a box around a shape lie among the lines of the finest grid.
    int left
    int top
    int right
    int bottom


cdef inline Window window_of(const Tile *tile) noexcept nogil:
    cdef int finer = MAX_ZOOM - tile.zoom
    return Window(tile.x << finer, tile.y << finer, (tile.x + 1) << finer, (tile.y + 1) << finer)


cdef enum Relation:
    APART
    CROSSING
    AROUND


# What is asked together lies side by side: in a large grid every look elsewhere waits for memory.
cdef struct Cell:
    int children
    int first
    int start
    int stop


cdef struct Candidate:
    Window window
    int shape
    int inside
    int line_start
    int line_stop


cdef inline bint is_box(const Candidate *candidate) noexcept nogil:
    return candidate.line_start == candidate.line_stop


cdef inline bint surrounds(Window window, Window inner) noexcept nogil:
    """Whether the box around a shape holds all of a tile."""
    return (
        window.left <= inner.left
        and window.top <= inner.top
        and window.right >= inner.right
        and window.bottom >= inner.bottom
    )


cdef int read_tile(object tile_id, Tile *tile) except -1:
    """Take a `TileId` apart. Raises `TypeError`, or `ValueError` for a tile that the grid lacks."""
    if not PyObject_TypeCheck(tile_id, <PyTypeObject *>TILE_ID):
        raise TypeError(f"tile_id must be of type TileId, got {type(tile_id).__name__}")
    cdef int zoom = <object>slot(tile_id, ZOOM_LEVEL)
    cdef int x = <object>slot(tile_id, X)
    cdef int y = <object>slot(tile_id, Y)
    if not (0 <= zoom <= MAX_ZOOM and 0 <= x < 1 << zoom and 0 <= y < 1 << zoom):
        raise ValueError(f"no tile of the grid: {zoom}/{x}/{y}")
    tile.zoom, tile.x, tile.y = zoom, x, y
    return 0


@cython.final
cdef class SectorGrid:
    """Boxes and polygons of sectors in a fixed order, and which of them is the first over a tile.

    `SectorGrid(sectors, windows, points, children, firsts, starts, candidates, inside, line_starts, lines)`. Row i of
    `windows`, int32 (n, 4), is what `touched_lines` says of the box around shape i, which belongs to `sectors[i]`.
    `points`, float64 (m, 2), are longitudes and latitudes: line k of a polygon leads from point k to point k + 1.

    The other arrays, int32, describe cells; cell 0 is the world, and each is a tile. `children` holds the first of
    a cell's four children (north-west, north-east, south-west, south-east), all behind the cell itself, or 0 for a
    cell that has none. `firsts` holds the first shape over the cell, n for none; in a cell without children, the
    first of those that every tile in it touches. Its `candidates[starts[i]:starts[i + 1]]`, ascending, are those
    before it that some tiles in it touch. Candidate k is a box, or a polygon of which
    `lines[line_starts[k]:line_starts[k + 1]]` cross the cell, and which holds the cell's south-western corner where
    `inside[k]`, uint8, is not 0.

    The arrays are copied. Raises `ValueError` for arrays that don't fit together. A grid never changes, so any
    number of threads may ask concurrently.
    """

    cdef readonly tuple sectors
    cdef const int[:, ::1] windows
    cdef const double[:, ::1] points
    cdef const int[::1] lines
    cdef Cell *cells
    cdef Candidate *candidates

    def __cinit__(
        self,
        tuple sectors not None,
        windows,
        points,
        children,
        firsts,
        starts,
        candidates,
        inside,
        line_starts,
        lines,
    ):
        self.sectors = sectors
        self.windows = np.array(windows, np.int32, order="C", copy=True)
        self.points = np.array(points, np.float64, order="C", copy=True)
        self.lines = np.array(lines, np.int32, copy=True)
        cdef const int[::1] children_of = np.array(children, np.int32)
        cdef const int[::1] first_of = np.array(firsts, np.int32)
        cdef const int[::1] start_of = np.array(starts, np.int32)
        cdef const int[::1] shape_of = np.array(candidates, np.int32)
        cdef const uint8_t[::1] inside_of = np.array(inside, np.uint8)
        cdef const int[::1] line_start_of = np.array(line_starts, np.int32)
        if not (
            self.fits_together(children_of, first_of, start_of, shape_of)
            and inside_of.shape[0] == shape_of.shape[0]
            and splits(line_start_of, shape_of.shape[0], self.lines.shape[0])
        ):
            raise ValueError("the arrays of a sector grid don't fit together")
        self.cells = <Cell *>malloc(children_of.shape[0] * sizeof(Cell))
        self.candidates = <Candidate *>malloc((shape_of.shape[0] + 1) * sizeof(Candidate))
        if self.cells == NULL or self.candidates == NULL:
            raise MemoryError()
        cdef Py_ssize_t i
        for i in range(children_of.shape[0]):
            self.cells[i] = Cell(children_of[i], first_of[i], start_of[i], start_of[i + 1])
        for i in range(shape_of.shape[0]):
            self.candidates[i] = Candidate(
                self.window_around(shape_of[i]), shape_of[i], inside_of[i], line_start_of[i], line_start_of[i + 1]
            )

    def __dealloc__(self):
        free(self.cells)
        free(self.candidates)

    cdef bint fits_together(
        self, const int[::1] children, const int[::1] firsts, const int[::1] starts, const int[::1] candidates
    ) noexcept:
        """Whether no answer can lead outside of the arrays, or into a cycle."""
        cdef Py_ssize_t cells = children.shape[0]
        cdef Py_ssize_t shapes = len(self.sectors)
        cdef Py_ssize_t i
        if (
            cells == 0
            or self.windows.shape[0] != shapes
            or self.windows.shape[1] != 4
            or self.points.shape[1] != 2
            or firsts.shape[0] != cells
            or not splits(starts, cells, candidates.shape[0])
        ):
            return False
        for i in range(cells):
            if children[i] != 0 and not i < children[i] <= cells - 4:
                return False
            if not 0 <= firsts[i] <= shapes:
                return False
        for i in range(candidates.shape[0]):
            if not 0 <= candidates[i] < shapes:
                return False
        for i in range(self.lines.shape[0]):
            if not 0 <= self.lines[i] < self.points.shape[0] - 1:
                return False
        return True

    def __len__(self):
        return len(self.sectors)

    def first_over(self, tile_id):
        """The first sector whose shape shares a point with the tile's box, edges included; None when none does."""
        cdef Tile tile
        read_tile(tile_id, &tile)
        return self.sector_over(&tile)

    cdef object sector_over(self, const Tile *tile):
        cdef int found = self.position_over(tile)
        return self.sectors[found] if found < <int>len(self.sectors) else None

    cdef const Cell *cell_of(self, const Tile *tile, int *below) noexcept nogil:
        """The cell that the tile is, or that it lies in so many zooms below."""
        cdef const Cell *cell = self.cells
        below[0] = tile.zoom
        while cell.children != 0 and below[0] != 0:
            below[0] -= 1
            cell = self.cells + cell.children + (tile.y >> below[0] & 1) * 2 + (tile.x >> below[0] & 1)
        return cell

    cdef int position_over(self, const Tile *tile) noexcept nogil:
        """The position of the first shape over the tile; the number of shapes when there is none."""
        cdef int below, i
        cdef const Cell *cell = self.cell_of(tile, &below)
        cdef Window window = window_of(tile)
        cdef const Candidate *candidate
        for i in range(cell.start, cell.stop):
            candidate = &self.candidates[i]
            if (
                candidate.window.left <= window.right
                and candidate.window.top <= window.bottom
                and candidate.window.right >= window.left
                and candidate.window.bottom >= window.top
                and (is_box(candidate) or self.relation(candidate, tile, below) != APART)
            ):
                return candidate.shape
        return cell.first

    cdef bint one_covers(self, const Tile *tile) noexcept nogil:
        """Whether one shape is known to hold all of the tile's box; not known of a cell that has children."""
        cdef int below, i
        cdef const Cell *cell = self.cell_of(tile, &below)
        cdef Window window = window_of(tile)
        cdef const Candidate *candidate
        if cell.children != 0:
            return False
        for i in range(cell.start, cell.stop):
            candidate = &self.candidates[i]
            if surrounds(candidate.window, window) and (
                is_box(candidate) or self.relation(candidate, tile, below) == AROUND
            ):
                return True
        return cell.first < self.windows.shape[0] and surrounds(self.window_around(cell.first), window)

    cdef inline Window window_around(self, Py_ssize_t shape) noexcept nogil:
        return Window(
            self.windows[shape, 0], self.windows[shape, 1], self.windows[shape, 2], self.windows[shape, 3]
        )

    cdef Relation relation(self, const Candidate *candidate, const Tile *tile, int below) noexcept nogil:
        """How a candidate's polygon lies to the box of a tile, which lies `below` zooms below the cell."""
        cdef int finer = MAX_ZOOM - tile.zoom
        cdef double cell_west = position(EAST_OF_ANTIMERIDIAN, (tile.x >> below) << (finer + below))
        cdef double cell_south = -position(SOUTH_OF_NORTH_POLE, ((tile.y >> below) + 1) << (finer + below))
        cdef bint holds = candidate.inside
        cdef Box box
        cdef Line line
        cdef int i
        box.west = position(EAST_OF_ANTIMERIDIAN, tile.x << finer)
        box.east = position(EAST_OF_ANTIMERIDIAN, (tile.x + 1) << finer)
        box.north = -position(SOUTH_OF_NORTH_POLE, tile.y << finer)
        box.south = -position(SOUTH_OF_NORTH_POLE, (tile.y + 1) << finer)
        for i in range(candidate.line_start, candidate.line_stop):
            line = line_at(&self.points[0, 0], self.lines[i])
            if touches(&line, &box, ROUNDING):
                return CROSSING
            holds ^= separates(&line, cell_west, cell_south, box.west, box.south)
        return AROUND if holds else APART


cdef bint splits(const int[::1] starts, Py_ssize_t parts, Py_ssize_t length) noexcept:
    """Whether `starts` cuts so many entries into so many parts."""
    cdef Py_ssize_t i
    if starts.shape[0] != parts + 1 or starts[0] != 0 or starts[parts] != length:
        return False
    for i in range(parts):
        if starts[i] > starts[i + 1]:
            return False
    return True


@cython.final
cdef class _Ruling:
    """What one classification says: its sectors, and its rule."""

    cdef SectorGrid grid
    cdef object rule
    cdef object too_old
    cdef int strictness
    cdef int rank
    cdef long long max_age_us

    def __cinit__(self, SectorGrid grid, rule):
        self.grid = grid
        self.rule = rule
        self.too_old = TOO_OLD[rule.classification]
        self.strictness = self.too_old
        self.rank = -list(SectorClassification).index(rule.classification)
        self.max_age_us = min(rule.max_age // MICROSECOND, FARTHEST_US)


@cython.final
cdef class SectorGridJudge:
    """A `TileJudge` over one grid for each classification; see `domain.policies.freshness.judge_freshness`.

    `SectorGridJudge(grids, rules, default_classification, covers)`, grids and rules by classification. `covers` says
    of a tile whether sectors together cover all of it; it is asked only where the default would be stricter than every
    sector, and where no sector is known to cover the tile alone. Raises `KeyError` when the default or a classification
    with sectors has no rule.
    """

    cdef tuple rulings
    cdef _Ruling default
    cdef object covers

    def __cinit__(self, grids, rules, default_classification, covers):
        self.covers = covers
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
            if sector is not None and (found is None or is_stricter(ruling, found, age_us)):
                found, strictest = ruling, sector
        if found is None or (is_stricter(self.default, found, age_us) and not self.is_covered(tile_id, &tile)):
            found, strictest = self.default, None
        return verdict(found, age_us, strictest)

    cdef bint is_covered(self, tile_id, const Tile *tile) except -1:
        cdef _Ruling ruling
        for ruling in self.rulings:
            if ruling.grid.one_covers(tile):
                return True
        return self.covers(tile_id)


cdef inline int severity(_Ruling ruling, long long age_us) noexcept:
    return 0 if age_us <= ruling.max_age_us else ruling.strictness


cdef inline bint is_stricter(_Ruling ruling, _Ruling other, long long age_us) noexcept:
    cdef int here = severity(ruling, age_us)
    cdef int there = severity(other, age_us)
    return here > there or (here == there and ruling.rank > other.rank)


cdef object verdict(_Ruling ruling, long long age_us, object sector):
    """A `FreshnessVerdict`; filled in without its `__init__`, which takes longer than everything else here."""
    cdef object made = PyType_GenericAlloc(<PyTypeObject *>VERDICT, 0)
    fill_slot(made, DECISION, ACCEPT if age_us <= ruling.max_age_us else ruling.too_old)
    fill_slot(made, AGE, duration_of(age_us))
    fill_slot(made, RULE, ruling.rule)
    fill_slot(made, SECTOR, sector)
    fill_slot(made, CLOCK_FAULT, None)
    fill_slot(made, RECALLED, None)
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
