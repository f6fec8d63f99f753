"""Which sectors lie where: a tree of tiles, split where sectors crowd, with the candidates of each cell.

The cells of one start level are asked from an R-tree, all in one bulk query. Crowded ones are then split into
their four children again and again, each child choosing from what its parent had. A sector that every tile in
a cell touches ends the matter there for all sectors behind it, so lists stay short under large sectors too.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt
from rtree.index import Index

from ...domain.values.tile_grid import MAX_ZOOM

CROWDED = 6
"""A cell with more candidates than that is split."""
MAX_LISTED = 16
"""How often sectors may be listed on average; then cells stay crowded, and answers right but slower."""
MAX_LISTED_AT_START = 4
"""The same among the cells that are asked from the R-tree."""

Ints = npt.NDArray[np.int64]

_EAST = np.array([0, 1, 0, 1])
_SOUTH = np.array([0, 0, 1, 1])
"""Where the four children of a cell lie in it: north-west, north-east, south-west, south-east."""


@attrs.frozen(eq=False)
class Cells:
    """The cells of one level, or of all, as `ext.SectorGrid` describes them."""

    children: Ints
    firsts: Ints
    counts: Ints
    """How many candidates each cell has."""
    candidates: Ints


def cells_of(lines: npt.NDArray[np.int32]) -> Cells:
    """All cells over sectors whose `touched_lines` are the rows of `lines`, in the sectors' order.

    Memory grows with the number of sectors, whatever their sizes.
    """
    windows = lines.astype(np.int64)
    frontier = _asked_of_rtree(windows).condensed(windows)
    levels = [*_cells_above(frontier)]
    room = MAX_LISTED * len(windows)
    while True:
        split = frontier.to_split(room)
        cells = frontier.cells(split, behind=sum(len(above.children) for above in levels))
        levels.append(cells)
        if not split.any():
            break
        room -= len(cells.candidates)
        frontier = frontier.children(split).condensed(windows)
    return Cells(*(np.concatenate(column) for column in zip(*map(attrs.astuple, levels), strict=True)))


@attrs.frozen(eq=False)
class _Frontier:
    """Cells of one level, with the sectors that may touch each as pairs ordered by cell and then sector."""

    level: int
    columns: Ints
    rows: Ints
    settled: Ints
    """The first sector that every tile in the cell touches; their number when there is none."""
    cell: Ints
    sector: Ints

    def condensed(self, windows: Ints) -> _Frontier:
        """With those pairs only that make a difference: not touching everywhere, and before what does."""
        size = 1 << MAX_ZOOM - self.level
        near = np.stack([self.columns, self.rows], axis=1)[self.cell] * size
        far = near + size
        first, last = windows[self.sector, :2], windows[self.sector, 2:]
        touching = ((near <= last) & (far >= first)).all(axis=1)
        everywhere = ((far - 1 <= last) & (near + 1 >= first)).all(axis=1)
        settled = _with_firsts(self.settled, self.cell[everywhere], self.sector[everywhere])
        kept = touching & (self.sector < settled[self.cell])
        return attrs.evolve(self, settled=settled, cell=self.cell[kept], sector=self.sector[kept])

    def firsts(self) -> Ints:
        """The first sector that touches each cell."""
        return _with_firsts(self.settled, self.cell, self.sector)

    def to_split(self, room: int) -> npt.NDArray[np.bool_]:
        """The crowded cells; only the most crowded when all entries might pass `room` otherwise."""
        counts = self._counts()
        order = np.argsort(-counts, kind="stable")
        fits = np.empty(len(counts), np.bool_)
        # Each of a cell's entries may become four, one for each child.
        fits[order] = len(self.cell) + 3 * np.cumsum(counts[order]) <= room
        return (counts > CROWDED) & fits

    def cells(self, split: npt.NDArray[np.bool_], behind: int) -> Cells:
        """These cells, of which `split` get children, when `behind` cells lie before them."""
        first_child = behind + len(split) + 4 * (np.cumsum(split) - 1)
        return Cells(
            np.where(split, first_child, 0),
            np.where(split, self.firsts(), self.settled),
            np.where(split, 0, self._counts()),
            self.sector[~split[self.cell]],
        )

    def children(self, split: npt.NDArray[np.bool_]) -> _Frontier:
        """The four children of each cell to split, in a row."""
        number = np.cumsum(split) - 1
        inside = split[self.cell]
        cell = (4 * number[self.cell[inside]][:, None] + np.arange(4)).ravel()
        order = np.argsort(cell, kind="stable")  # within a child the sectors stay in their order
        return _Frontier(
            self.level + 1,
            _children_of(self.columns[split], _EAST),
            _children_of(self.rows[split], _SOUTH),
            self.settled[split].repeat(4),
            cell[order],
            self.sector[inside].repeat(4)[order],
        )

    def _counts(self) -> Ints:
        return np.bincount(self.cell, minlength=len(self.columns))


def _with_firsts(known: Ints, cell: Ints, sector: Ints) -> Ints:
    """`known`, or the first sector of a cell's pairs where that comes before."""
    first = known.copy()
    first[cell[::-1]] = sector[::-1]  # the last assignment stays, and that is the first pair of the cell
    found: Ints = np.minimum(first, known)
    return found


def _asked_of_rtree(windows: Ints) -> _Frontier:
    """The cells of the start level with their sectors, and perhaps with some that only nearly touch."""
    level = _start_level(windows)
    columns, rows = _cells_of_level(level)
    nothing = np.empty(0, np.int64)
    frontier = _Frontier(level, columns, rows, np.full(len(columns), len(windows)), nothing, nothing)
    if len(windows) == 0:  # a bulk load of nothing is an error in rtree
        return frontier
    first, last = windows[:, :2], windows[:, 2:]
    # A box between two lines has its last line before its first, which is no box to rtree.
    tree = Index((np.arange(len(windows)), np.minimum(first, last), np.maximum(first, last)))
    near = np.stack([columns, rows], axis=1) << MAX_ZOOM - level
    # rtree makes room for two answers a query, and beside NumPy 1 fails where it needs more. Queries behind
    # the grid, which find nothing, bring the room: a box touches the cells that it spans, and neighbours.
    idle = np.full((max(0, (MAX_LISTED_AT_START + 4) * len(windows) // 2 + 1 - len(near)), 2), 4 << MAX_ZOOM)
    queries = np.concatenate([near, idle])
    sectors, counts = tree.intersection_v(queries, queries + (1 << MAX_ZOOM - level))  # type: ignore[no-untyped-call] # rtree types most methods, not this one
    cell = np.arange(len(columns)).repeat(counts[: len(near)].astype(np.int64))
    order = np.lexsort((sectors, cell))
    return attrs.evolve(frontier, cell=cell[order], sector=sectors[order])


def _start_level(windows: Ints) -> int:
    """The finest level that has no more cells than there are sectors, and lists each a few times at most."""
    level = 0
    while level < MAX_ZOOM and 4 ** (level + 1) <= len(windows):
        size = 1 << MAX_ZOOM - (level + 1)
        after = np.minimum(windows[:, 2:] // size + 1, 2 << level)
        span = after - np.maximum(-(-windows[:, :2] // size) - 1, 0)
        if span.clip(0).prod(axis=1).sum() > MAX_LISTED_AT_START * len(windows):
            break
        level += 1
    return level


def _cells_of_level(level: int) -> tuple[Ints, Ints]:
    """Columns and rows of all cells of a level, the children of each cell of the level above in a row."""
    columns = rows = np.zeros(1, np.int64)
    for _ in range(level):
        columns, rows = _children_of(columns, _EAST), _children_of(rows, _SOUTH)
    return columns, rows


def _children_of(places: Ints, within: Ints) -> Ints:
    return (2 * places[:, None] + within).ravel()


def _cells_above(start: _Frontier) -> Iterator[Cells]:
    """The cells of all levels above the start level: what touches a cell touches one of its children."""
    firsts = [start.firsts()]
    for _ in range(start.level):
        firsts.insert(0, firsts[0].reshape(-1, 4).min(axis=1))
    behind = 0
    for first in firsts[:-1]:
        behind += len(first)
        none = np.zeros(len(first), np.int64)
        yield Cells(behind + 4 * np.arange(len(first)), first, none, none[:0])
