# cython: boundscheck=False, wraparound=False
"""Lays out the cells of a `SectorGrid` so that an answer looks at few places of memory."""

from libc.stdint cimport uint8_t, uint32_t

from _cell_leaves cimport (
    CANDIDATE_COUNT,
    HEADER_WORDS,
    INSIDE,
    MAP_WORDS,
    MAX_SHAPES,
    MAX_UNITS,
    POLYGON,
    SETTLED_SHAPE,
    SHAPE_SHIFT,
    SIDE,
    Tile,
    UNIT,
    WINDOW_WORDS,
    ZOOM,
    draw_map,
    leaf_word,
    settled_word,
)
from _constants cimport MAX_ZOOM

import numpy as np

cdef enum:
    LAST_OF_ZOOM = (1 << MAX_ZOOM) - 1


def laid_out(
    const int[:, ::1] windows not None,
    const double[:, ::1] points not None,
    const int[::1] children not None,
    const int[::1] firsts not None,
    const int[::1] starts not None,
    const int[::1] candidates not None,
    const uint8_t[::1] inside not None,
    const int[::1] line_starts not None,
    const int[::1] lines not None,
):
    """The arrays of a `SectorGrid` as it asks them, int32: a word per cell, the words of all leaves, and the short cut.

    A cell's word is where its children begin, or what `settled_word` and `leaf_word` make of a cell without children.
    The short cut, two-dimensional, holds the words that lie over the cells of one zoom: its own in each, or that of the
    childless cell that it is a part of. It comes with that zoom, and with the column and the row where it begins.
    Raises `ValueError` for arrays that don't fit together: no answer can then lead outside of them, or into a cycle.
    """
    cdef Py_ssize_t shapes = windows.shape[0]
    if not (
        shapes <= MAX_SHAPES
        and windows.shape[1] == 4
        and points.shape[1] == 2
        and are_cells(children, firsts, shapes)
        and splits(starts, children.shape[0], candidates.shape[0])
        and inside.shape[0] == candidates.shape[0]
        and are_within(candidates, shapes)
        and splits(line_starts, candidates.shape[0], lines.shape[0])
        and are_within(lines, points.shape[0] - 1)
    ):
        raise ValueError("the arrays of a sector grid don't fit together")
    cdef Py_ssize_t cells = children.shape[0]
    cdef Py_ssize_t i, k, n, at
    cdef Py_ssize_t units = 0
    cells_made, places_made = np.empty(cells, np.int32), np.zeros((cells, 3), np.int32)
    cdef int[::1] words = cells_made
    cdef int[:, ::1] places = places_made  # zoom, x and y
    cdef Tile cell
    for i in range(cells):
        if i > 0 and places[i, 0] == 0:
            raise ValueError(f"cell {i} of a sector grid is the child of none: its arrays don't fit together")
        if children[i] != 0:
            words[i] = children[i]
            for k in range(4):
                if places[children[i] + k, 0] != 0:
                    raise ValueError(f"cell {children[i] + k} is the child of two: the arrays don't fit together")
                # Below the finest zoom there is no tile, and nobody asks.
                places[children[i] + k, 0] = min(places[i, 0] + 1, MAX_ZOOM)
                places[children[i] + k, 1] = (places[i, 1] << 1 | (k & 1)) & LAST_OF_ZOOM
                places[children[i] + k, 2] = (places[i, 2] << 1 | k >> 1) & LAST_OF_ZOOM
        elif starts[i] == starts[i + 1]:
            words[i] = settled_word(firsts[i])
        else:
            words[i] = leaf_word(units)
            units += units_of(starts[i], starts[i + 1], line_starts)
    if units > MAX_UNITS:
        raise ValueError(f"the leaves of a sector grid take {units} units, at most {MAX_UNITS} have a word")
    # Not `zeros`, which NumPy 1 does not put into huge pages.
    leaves_made = np.empty(units * UNIT, np.int32)
    leaves_made.fill(0)
    cdef int[::1] leaves = leaves_made
    cdef int *leaf
    cdef int *own
    with nogil:
        at = 0
        for i in range(cells):
            if children[i] != 0 or starts[i] == starts[i + 1]:
                continue
            leaf = &leaves[at]
            at += UNIT * units_of(starts[i], starts[i + 1], line_starts)
            n = starts[i + 1] - starts[i]
            leaf[SETTLED_SHAPE] = firsts[i]
            leaf[CANDIDATE_COUNT] = n
            leaf[ZOOM] = places[i, 0]
            leaf[MAP_WORDS] = SIDE if has_polygons(starts[i], starts[i + 1], line_starts) else 0
            own = leaf + HEADER_WORDS + leaf[MAP_WORDS] + n
            for k in range(starts[i], starts[i + 1]):
                leaf[HEADER_WORDS + leaf[MAP_WORDS] + k - starts[i]] = (
                    candidates[k] << SHAPE_SHIFT
                    | (INSIDE if inside[k] else 0)
                    | (POLYGON if line_starts[k] < line_starts[k + 1] else 0)
                )
                if line_starts[k] == line_starts[k + 1]:
                    for n in range(WINDOW_WORDS):
                        own[n] = windows[candidates[k], n]
                    own += WINDOW_WORDS
                else:
                    own[0] = line_starts[k + 1] - line_starts[k]
                    for n in range(own[0]):
                        own[1 + n] = lines[line_starts[k] + n]
                    own += 1 + own[0]
            if leaf[MAP_WORDS] != 0:
                cell = Tile(places[i, 0], places[i, 1], places[i, 2])
                draw_map(<uint32_t *>(leaf + HEADER_WORDS), leaf, &points[0, 0], &cell)
    return cells_made, leaves_made, *short_cut(cells_made, places_made)


def short_cut(words, places):
    """The words over the cells of the finest zoom at which they are no more than all cells; see `laid_out`."""
    zooms = places[:, 0]
    for zoom in range(int(zooms.max()), -1, -1):
        there = places[zooms == zoom, 1:]
        west, north = there.min(axis=0).tolist()
        east, south = there.max(axis=0).tolist()
        if (east - west + 1) * (south - north + 1) <= len(words):
            break
    cut_made = np.empty((south - north + 1, east - west + 1), np.int32)
    cdef int[:, ::1] cut = cut_made
    cdef const int[::1] word = words
    cdef const int[:, ::1] place = places
    cdef int first_row = north
    cdef int first_column = west
    cdef int at = zoom
    cdef Py_ssize_t i, row, column
    cdef int finer
    for i in range(word.shape[0]):
        if place[i, 0] > at or (word[i] > 0 and place[i, 0] < at):
            continue
        finer = at - place[i, 0]
        for row in range(
            max((place[i, 2] << finer) - first_row, 0), min((place[i, 2] + 1 << finer) - first_row, cut.shape[0])
        ):
            for column in range(
                max((place[i, 1] << finer) - first_column, 0),
                min((place[i, 1] + 1 << finer) - first_column, cut.shape[1]),
            ):
                cut[row, column] = word[i]
    return cut_made, zoom, west, north


cdef inline bint has_polygons(Py_ssize_t start, Py_ssize_t stop, const int[::1] line_starts) noexcept nogil:
    return line_starts[start] < line_starts[stop]


cdef Py_ssize_t units_of(Py_ssize_t start, Py_ssize_t stop, const int[::1] line_starts) noexcept nogil:
    """How long the leaf of so many candidates is."""
    cdef Py_ssize_t words = HEADER_WORDS + (stop - start) + line_starts[stop] - line_starts[start]
    cdef Py_ssize_t k
    words += SIDE if has_polygons(start, stop, line_starts) else 0
    for k in range(start, stop):
        words += WINDOW_WORDS if line_starts[k] == line_starts[k + 1] else 1
    return (words + UNIT - 1) // UNIT


cdef bint are_cells(const int[::1] children, const int[::1] firsts, Py_ssize_t shapes) noexcept:
    cdef Py_ssize_t cells = children.shape[0]
    cdef Py_ssize_t i
    if cells == 0 or firsts.shape[0] != cells:
        return False
    for i in range(cells):
        if children[i] != 0 and not i < children[i] <= cells - 4:
            return False
        if not 0 <= firsts[i] <= shapes:
            return False
    return True


cdef bint are_within(const int[::1] numbers, Py_ssize_t count) noexcept:
    cdef Py_ssize_t i
    for i in range(numbers.shape[0]):
        if not 0 <= numbers[i] < count:
            return False
    return True


cdef bint splits(const int[::1] starts, Py_ssize_t parts, Py_ssize_t length) noexcept:
    """Whether `starts` cuts so many entries into so many parts."""
    cdef Py_ssize_t i
    if starts.shape[0] != parts + 1 or starts[0] != 0 or starts[parts] != length:
        return False
    for i in range(parts):
        if starts[i] > starts[i + 1]:
            return False
    return True
