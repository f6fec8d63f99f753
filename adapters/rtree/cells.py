"""Which sectors lie where: a tree of tiles, split where sectors crowd, with the candidates of each cell.

The cells of one start level are asked from an R-tree, all in one bulk query. Crowded ones are then split into
their four children again and again, each child choosing from what its parent had: a box, or those lines of
a polygon that cross it. A shape that every tile in a cell touches ends the matter there for all shapes behind
it, so lists stay short under large sectors too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt
from rtree.index import Index

from ...domain.values.shapes import Polygon
from ...domain.values.tile_grid import MAX_ZOOM, Bbox
from ...ext import narrowed, touched_lines

CROWDED = 6
"""A cell with more candidates than that is split."""
CROWDED_LINES = 16
"""A cell that more lines of polygons cross is split."""
MAX_LISTED = 16
"""How often shapes and lines may be listed on average; then cells stay crowded, answers right but slower."""
MAX_LISTED_AT_START = 4
"""How often shapes may be listed among the cells that are asked from the R-tree."""

Ints = npt.NDArray[np.int64]

_EAST = np.array([0, 1, 0, 1])
_SOUTH = np.array([0, 0, 1, 1])
"""Where the four children of a cell lie in it: north-west, north-east, south-west, south-east."""


@attrs.frozen(eq=False)
class Outlines:
    """Boxes and polygons as `ext.SectorGrid` takes them."""

    windows: npt.NDArray[np.int32]
    points: npt.NDArray[np.float64]
    starts: Ints
    """Where the lines of each shape begin in `lines`, and where the last ones end."""
    lines: npt.NDArray[np.int32]
    """The number of each line's first point, shape by shape; none for a box."""

    @classmethod
    def of(cls, shapes: Sequence[Bbox | Polygon]) -> Outlines:
        """The outlines of shapes, in their order."""
        boxes = [shape if isinstance(shape, Bbox) else shape.bbox for shape in shapes]
        corners = [(box.min_lat, box.min_lon, box.max_lat, box.max_lon) for box in boxes]
        rings = [() if isinstance(shape, Bbox) else shape.rings for shape in shapes]
        points = [point for of_shape in rings for ring in of_shape for point in (*ring, ring[0])]
        counts = [sum(map(len, of_shape)) for of_shape in rings]
        sizes = np.array([len(ring) for of_shape in rings for ring in of_shape], np.int64)
        # A ring of n lines has n + 1 points; none leads from the last to the next ring.
        lines = np.arange(sizes.sum()) + np.arange(len(sizes)).repeat(sizes)
        return cls(
            touched_lines(np.array(corners, np.float64).reshape(-1, 4)),
            np.array(points, np.float64).reshape(-1, 2),
            np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]),
            lines.astype(np.int32),
        )


@attrs.frozen(eq=False)
class Cells:
    """The cells of one level, or of all, as `ext.SectorGrid` describes them."""

    children: Ints
    firsts: Ints
    counts: Ints
    """How many candidates each cell has."""
    candidates: Ints
    inside: npt.NDArray[np.uint8]
    line_counts: Ints
    """How many lines of each candidate cross its cell."""
    lines: npt.NDArray[np.int32]


def cells_of(outlines: Outlines) -> Cells:
    """All cells over shapes, in the shapes' order.

    Memory grows with the number of shapes and of their lines, whatever their sizes.
    """
    everything = _Candidates(
        np.arange(len(outlines.windows)),
        np.zeros(len(outlines.windows), np.uint8),
        outlines.starts,
        outlines.lines,
    )
    level = _start_level(outlines.windows.astype(np.int64))
    asked = _asked_of_rtree(outlines.windows.astype(np.int64), level)
    above = [_Frontier.of(outlines, everything, level, *near) for level, near in _above(level, *asked)]
    frontier = _Frontier.of(outlines, everything, level, *asked)
    behind = 0
    levels = []
    for coarse in above:
        levels.append(coarse.cells(np.ones(len(coarse.columns), np.bool_), behind))
        behind += len(coarse.columns)
    room = MAX_LISTED * (len(outlines.windows) + len(outlines.lines))
    while True:
        split = frontier.to_split(room)
        cells = frontier.cells(split, behind)
        levels.append(cells)
        if not split.any():
            break
        behind += len(cells.children)
        room -= len(cells.candidates) + len(cells.lines)
        frontier = frontier.children(outlines, split)
    return Cells(*(np.concatenate(column) for column in zip(*map(_columns, levels), strict=True)))


def _columns(cells: Cells) -> tuple[npt.NDArray[np.int64], ...]:
    return tuple(getattr(cells, field.name) for field in attrs.fields(Cells))


@attrs.frozen(eq=False)
class _Candidates:
    """Shapes that may matter in cells, their lines, and whether they hold the cell's south-western corner."""

    sector: Ints
    inside: npt.NDArray[np.uint8]
    starts: Ints
    lines: npt.NDArray[np.int32]

    def lengths(self) -> Ints:
        """How many lines each has."""
        return np.diff(self.starts)


@attrs.frozen(eq=False)
class _Frontier:
    """Cells of one level, with the shapes that some tiles in a cell touch and others don't."""

    level: int
    columns: Ints
    rows: Ints
    settled: Ints
    """The first shape that every tile in the cell touches; the number of shapes when there is none."""
    firsts: Ints
    """The first shape that touches the cell."""
    cell: Ints
    candidates: _Candidates

    @classmethod
    def of(
        cls,
        outlines: Outlines,
        around: _Candidates,
        level: int,
        cell: Ints,
        source: Ints,
        of_cells: tuple[Ints, Ints, Ints] | None = None,
    ) -> _Frontier:
        """All cells of a level, or `of_cells`; `source[k]` of `around` may touch `cell[k]`, no others may."""
        columns, rows, settled = of_cells or (
            *_cells_of_level(level),
            np.full(4**level, len(outlines.windows)),
        )
        settled, firsts, cell, sector, inside, starts, lines = narrowed(
            outlines.windows,
            outlines.points,
            level,
            columns,
            rows,
            settled,
            cell,
            source,
            around.sector,
            around.inside,
            around.starts,
            around.lines,
            of_cells is None,
        )
        return cls(level, columns, rows, settled, firsts, cell, _Candidates(sector, inside, starts, lines))

    def to_split(self, room: int) -> npt.NDArray[np.bool_]:
        """The crowded cells; only the most crowded when all entries might pass `room` otherwise."""
        size = len(self.columns)
        counts = np.bincount(self.cell, minlength=size)
        lines = np.bincount(self.cell, self.candidates.lengths(), size).astype(np.int64)
        entries = counts + lines
        order = np.argsort(-entries, kind="stable")
        fits = np.empty(size, np.bool_)
        # Each of a cell's entries may become four, one for each child.
        fits[order] = entries.sum() + 3 * np.cumsum(entries[order]) <= room
        crowded: npt.NDArray[np.bool_] = ((counts > CROWDED) | (lines > CROWDED_LINES)) & fits
        return crowded if self.level < MAX_ZOOM else np.zeros_like(crowded)

    def cells(self, split: npt.NDArray[np.bool_], behind: int) -> Cells:
        """These cells, of which `split` get children, when `behind` cells lie before them."""
        first_child = behind + len(split) + 4 * (np.cumsum(split) - 1)
        listed = ~split[self.cell]
        lengths = self.candidates.lengths()
        return Cells(
            np.where(split, first_child, 0),
            np.where(split, self.firsts, self.settled),
            np.where(split, 0, np.bincount(self.cell, minlength=len(split))),
            self.candidates.sector[listed],
            self.candidates.inside[listed],
            lengths[listed],
            self.candidates.lines[listed.repeat(lengths)],
        )

    def children(self, outlines: Outlines, split: npt.NDArray[np.bool_]) -> _Frontier:
        """The four children of each cell to split, in a row."""
        number = np.cumsum(split) - 1
        inside = np.flatnonzero(split[self.cell])
        cell = (4 * number[self.cell[inside]][:, None] + np.arange(4)).ravel()
        order = np.argsort(cell, kind="stable")  # within a child the shapes stay in their order
        of_cells = (
            _children_of(self.columns[split], _EAST),
            _children_of(self.rows[split], _SOUTH),
            self.settled[split].repeat(4),
        )
        source = inside.repeat(4)[order]
        return _Frontier.of(outlines, self.candidates, self.level + 1, cell[order], source, of_cells)


def _asked_of_rtree(windows: Ints, level: int) -> tuple[Ints, Ints]:
    """The cells of a level with the shapes whose boxes touch them, and perhaps some that only nearly do."""
    if len(windows) == 0:  # a bulk load of nothing is an error in rtree
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, last = windows[:, :2], windows[:, 2:]
    # A box between two lines has its last line before its first, which is no box to rtree.
    tree = Index((np.arange(len(windows)), np.minimum(first, last), np.maximum(first, last)))
    near = np.stack(_cells_of_level(level), axis=1) << MAX_ZOOM - level
    # rtree makes room for two answers a query, and beside NumPy 1 fails where it needs more. Queries behind
    # the grid, which find nothing, bring the room: a box touches the cells that it spans, and neighbours.
    idle = np.full((max(0, (MAX_LISTED_AT_START + 4) * len(windows) // 2 + 1 - len(near)), 2), 4 << MAX_ZOOM)
    queries = np.concatenate([near, idle])
    shapes, counts = tree.intersection_v(queries, queries + (1 << MAX_ZOOM - level))  # type: ignore[no-untyped-call] # rtree types most methods, not this one
    cell = np.arange(len(near)).repeat(counts[: len(near)].astype(np.int64))
    order = np.lexsort((shapes, cell))
    return cell[order], shapes[order].astype(np.int64)


def _above(level: int, cell: Ints, shape: Ints) -> Iterator[tuple[int, tuple[Ints, Ints]]]:
    """The levels above one, from the world on, with what touches a child of each cell."""
    count = int(shape.max(initial=0)) + 1
    for coarser in range(level):
        pairs = np.unique((cell >> 2 * (level - coarser)) * count + shape)
        yield coarser, (pairs // count, pairs % count)


def _start_level(windows: Ints) -> int:
    """The finest level that has no more cells than there are shapes, and lists each a few times at most."""
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
