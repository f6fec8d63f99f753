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
from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_GET_ITEM

from _cell_leaves cimport (
    ANSWER_WORDS,
    APART,
    AROUND,
    CANDIDATE_COUNT,
    POLYGON,
    SETTLED_SHAPE,
    SHAPE_SHIFT,
    Tile,
    UNKNOWN,
    Window,
    ZOOM,
    candidates_of,
    code_over,
    is_settled,
    leaf_of,
    meet,
    prefetch,
    relation,
    shape_named,
    shape_of,
    surrounds,
    window_at,
    window_of,
    words_of,
)
from _constants cimport CLASSIFICATION_COUNT, MAX_ZOOM
from _slots cimport PyObject_TypeCheck, PyType_GenericAlloc, fill_slot, slot, slot_offset

import numpy as np

from .cell_leaves import laid_out
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


cdef struct Cell:
    int word
    int number  # of a cell with children, which is the tile


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
    cdef const int[::1] firsts
    cdef const int[::1] cells
    cdef const int[::1] leaves
    cdef const int[:, ::1] short_cut
    cdef int cut_zoom
    cdef int cut_west
    cdef int cut_north

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
        self.firsts = np.array(firsts, np.int32, copy=True)
        if self.windows.shape[0] != len(sectors):
            raise ValueError("the arrays of a sector grid don't fit together")
        others = (np.asarray(given, np.int32) for given in (children, firsts, starts, candidates))
        of_lines = np.asarray(line_starts, np.int32), np.asarray(lines, np.int32)
        self.cells, self.leaves, self.short_cut, self.cut_zoom, self.cut_west, self.cut_north = laid_out(
            self.windows, self.points, *others, np.asarray(inside, np.uint8), *of_lines
        )

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

    cdef inline Cell cell_over(self, const Tile *tile) noexcept nogil:
        """The cell that the tile is or lies in. Its leaf is on its way from memory."""
        cdef Cell cell = Cell(self.cells[0], 0)
        cdef int below = tile.zoom - self.cut_zoom
        cdef int column, row
        cdef const int *leaf
        if below > 0:
            column, row = (tile.x >> below) - self.cut_west, (tile.y >> below) - self.cut_north
            if 0 <= column < self.short_cut.shape[1] and 0 <= row < self.short_cut.shape[0]:
                cell.word = self.short_cut[row, column]
            else:
                below = tile.zoom
        else:
            below = tile.zoom
        while cell.word > 0 and below != 0:
            below -= 1
            cell.number = cell.word + (tile.y >> below & 1) * 2 + (tile.x >> below & 1)
            cell.word = self.cells[cell.number]
        if cell.word < 0 and not is_settled(cell.word):
            leaf = leaf_of(cell.word, &self.leaves[0])
            prefetch(leaf)
            prefetch(leaf + ANSWER_WORDS)
        return cell

    cdef inline int position_over(self, const Tile *tile) noexcept nogil:
        """The position of the first shape over the tile; the number of shapes when there is none."""
        return self.first_in(self.cell_over(tile), tile)

    cdef int first_in(self, Cell cell, const Tile *tile) noexcept nogil:
        cdef int code
        cdef const int *leaf
        if cell.word > 0:
            return self.firsts[cell.number]
        if is_settled(cell.word):
            return shape_of(cell.word)
        leaf = leaf_of(cell.word, &self.leaves[0])
        code = code_over(leaf, tile)
        return self.first_of_candidates(leaf, tile) if code == UNKNOWN else shape_named(leaf, code)

    cdef int first_of_candidates(self, const int *leaf, const Tile *tile) noexcept nogil:
        """The same, from the lines and windows of all candidates."""
        cdef const int *heads = candidates_of(leaf)
        cdef const int *own = heads + leaf[CANDIDATE_COUNT]
        cdef Window window = window_of(tile)
        cdef int i
        for i in range(leaf[CANDIDATE_COUNT]):
            if (
                relation(heads[i], own, &self.points[0, 0], tile, tile.zoom - leaf[ZOOM]) != APART
                if heads[i] & POLYGON
                else meet(window_at(own), window)
            ):
                return heads[i] >> SHAPE_SHIFT
            own += words_of(heads[i], own)
        return leaf[SETTLED_SHAPE]

    cdef bint one_covers(self, const Tile *tile) noexcept nogil:
        """Whether one shape is known to hold all of the tile's box; not known of a cell that has children."""
        cdef Cell cell = self.cell_over(tile)
        cdef int code, i
        cdef const int *leaf
        cdef const int *heads
        cdef const int *own
        if cell.word > 0:
            return False
        if is_settled(cell.word):
            return self.is_within(tile, shape_of(cell.word))
        leaf = leaf_of(cell.word, &self.leaves[0])
        code = code_over(leaf, tile)
        if code != UNKNOWN and self.is_within(tile, shape_named(leaf, code)):
            return True
        heads = candidates_of(leaf)
        own = heads + leaf[CANDIDATE_COUNT]
        for i in range(leaf[CANDIDATE_COUNT]):
            if (
                relation(heads[i], own, &self.points[0, 0], tile, tile.zoom - leaf[ZOOM]) == AROUND
                if heads[i] & POLYGON
                else self.is_within(tile, heads[i] >> SHAPE_SHIFT)
            ):
                return True
            own += words_of(heads[i], own)
        return self.is_within(tile, leaf[SETTLED_SHAPE])

    cdef inline bint is_within(self, const Tile *tile, int shape) noexcept nogil:
        """Whether the box around a shape, which every tile in the cell touches if it is a polygon, holds the tile."""
        return shape < self.windows.shape[0] and surrounds(window_at(&self.windows[shape, 0]), window_of(tile))


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
        cdef Tile tile
        read_tile(tile_id, &tile)
        cdef _Ruling ruling, found = None
        cdef PyObject *strictest = <PyObject *>None
        cdef Cell cells[CLASSIFICATION_COUNT]
        cdef int position, i
        cdef int first = 0
        for i, ruling in enumerate(self.rulings):
            cells[i] = ruling.grid.cell_over(&tile)
        # The leaves come from memory while the age is computed, the sector while the verdict is made.
        cdef long long age_us = max(microseconds_in(now - BEGINNING) - captured_us, 0)
        for i, ruling in enumerate(self.rulings):
            if found is not None and not is_stricter(ruling, found, age_us):
                continue  # whatever lies over the tile there
            position = ruling.grid.first_in(cells[i], &tile)
            if position < ruling.grid.windows.shape[0]:
                found, first = ruling, position
        if found is not None:
            strictest = PyTuple_GET_ITEM(found.grid.sectors, first)
            prefetch(strictest)
        if found is None or (is_stricter(self.default, found, age_us) and not self.is_covered(tile_id, &tile)):
            found, strictest = self.default, <PyObject *>None
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


cdef object verdict(_Ruling ruling, long long age_us, PyObject *sector):
    """A `FreshnessVerdict`; filled in without its `__init__`, which takes longer than everything else here."""
    cdef object made = PyType_GenericAlloc(<PyTypeObject *>VERDICT, 0)
    fill_slot(made, DECISION, ACCEPT if age_us <= ruling.max_age_us else ruling.too_old)
    fill_slot(made, AGE, duration_of(age_us))
    fill_slot(made, RULE, ruling.rule)
    fill_slot(made, CLOCK_FAULT, None)
    fill_slot(made, RECALLED, None)
    fill_slot(made, SECTOR, <object>sector)
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
