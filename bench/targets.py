"""The targets, as data: the only place that says what `make bench` holds the figures to.

Ratios count on any machine, for both sides run beside each other. The absolute times are the flight budget of
a Jetson Orin; they hold for the 99th percentile.
"""

from __future__ import annotations

from enum import Enum

import attrs

MICROSECOND = 1e-6
MILLISECOND = 1e-3


class Goal(str, Enum):
    """Which way a figure must lie."""

    AT_MOST = "<="
    AT_LEAST = ">="


@attrs.frozen
class Bound:
    """A figure and which way it must lie."""

    goal: Goal
    limit: float

    def met_by(self, value: float, tolerance: float = 1.0) -> bool:
        """Whether `value` is within the limit, or within `tolerance` times of it."""
        if self.goal is Goal.AT_MOST:
            return value <= self.limit * tolerance
        return value >= self.limit / tolerance

    def __str__(self) -> str:
        return f"{self.goal.value} {self.limit:g}"


def at_most(limit: float) -> Bound:
    """The figure must not exceed the limit."""
    return Bound(Goal.AT_MOST, limit)


def at_least(limit: float) -> Bound:
    """The figure must reach the limit."""
    return Bound(Goal.AT_LEAST, limit)


@attrs.frozen(kw_only=True)
class Target:
    """What one row is held to. None and empty: not held to that."""

    id: str
    what: str
    p99_s: float | None = None
    ratio: Bound | None = None
    """Of ours to the floor: times for `AT_MOST`, rates (the other way round) for `AT_LEAST`."""
    behind: tuple[str, ...] = ()
    """Peers that must be slower than ours, by the beginning of their names; "*": every peer of the row."""
    facts: dict[str, Bound] = attrs.Factory(dict)
    """Figures that ours must show beside its times."""
    by_cores: str = ""
    """Why the ratio to the floor changes with the number of cores; empty: it does not. The limit stays."""


TARGETS = (
    Target(
        id="P-1",
        what="read, mapping kept, every page touched",
        p99_s=5 * MICROSECOND,
        ratio=at_most(2),
        behind=("*",),
    ),
    Target(
        id="P-2 kept",
        what="read, first time, page cache warm",
        p99_s=100 * MICROSECOND,
        ratio=at_most(1.2),
        behind=("*",),
    ),
    Target(
        id="P-2 bytes",
        what="one-shot bytes, page cache warm",
        p99_s=100 * MICROSECOND,
        ratio=at_most(1.15),
        behind=("*",),
    ),
    Target(
        id="P-3",
        what="durable write of one tile, every gate, file + sidecar + row committed",
        p99_s=20 * MILLISECOND,
        ratio=at_most(1.25),
        behind=("MapProxy", "diskcache"),
    ),
    Target(
        id="P-4",
        what="bulk ingest, every gate, durable",
        ratio=at_least(0.8),
        behind=("SQLite", "MapProxy", "diskcache"),
        by_cores="both have up to four threads, beside the database",
    ),
    Target(
        id="P-4 decoded",
        what="the same by ingest, each picture decoded once",
        ratio=at_least(0.8),
        by_cores="pictures are decoded on all cores, the floor decodes none",
    ),
    Target(
        id="P-5",
        what="bbox query, 49 tiles",
        p99_s=200 * MICROSECOND,
        ratio=at_most(3),
        behind=("*",),
    ),
    Target(
        id="P-6",
        what="freshness verdict, 10k sectors, from 4 threads",
        p99_s=50 * MICROSECOND,
        ratio=at_most(2),
        behind=("*",),
        by_cores="both are asked from four threads, ours within one interpreter",
    ),
    Target(
        id="P-6 clear",
        what="verdict among 10k polygons, no edge crosses the tile (floor: the same sectors as boxes)",
        p99_s=50 * MICROSECOND,
        ratio=at_most(1.3),
        behind=("*",),
    ),
    Target(
        id="P-6 crossed",
        what="verdict among 10k polygons, an edge crosses the tile",
        p99_s=5 * MICROSECOND,
        behind=("*",),
    ),
    Target(
        id="P-7",
        what="descriptor search, k=10",
        p99_s=5 * MILLISECOND,
        ratio=at_most(1.1),
        behind=("hnswlib", "usearch"),
        facts={"recall@10": at_least(0.995)},
    ),
    Target(
        id="P-8",
        what="open an index, verified, first answer included",
        p99_s=2.0,
        ratio=at_most(1.3),
        behind=("*",),
        facts={"anonymous_mb": at_most(40)},
        by_cores="ours hashes on all cores, the floor on one",
    ),
    Target(
        id="P-9",
        what="descriptor to 5 tiles' pixels",
        p99_s=10 * MILLISECOND,
        ratio=at_most(1.15),
    ),
    Target(
        id="P-10",
        what="reserve headroom when there is room",
        p99_s=50 * MICROSECOND,
        behind=("*",),
        facts={"waits_per_call": at_most(0.01)},
    ),
    Target(
        id="P-11",
        what="LRU bookkeeping of one read",
        p99_s=2 * MICROSECOND,
        behind=("*",),
        facts={"waits_per_call": at_most(0.01)},
    ),
    Target(
        id="P-12",
        what="build_* factories, over 1,000 calls",
        p99_s=50 * MILLISECOND,
    ),
    Target(
        id="P-13",
        what="open a store, catalogue ready",
        p99_s=10.0,
        ratio=at_most(2),
        facts={"bytes_per_tile": at_most(64)},
        by_cores="folders are listed beside the COPY, which keeps two cores busy by itself",
    ),
    Target(
        id="P-14",
        what="upload over 20 Mbit/s, 80 ms round trip",
        ratio=at_least(0.9),
        behind=("*",),
    ),
    Target(
        id="P-15 1k",
        what="exact search within an area of about 1,000 descriptors",
        p99_s=1 * MILLISECOND,
        ratio=at_most(1.25),
        facts={"recall@10": at_least(1.0)},
    ),
    Target(
        id="P-15 20k",
        what="exact search within an area of about 20,000 descriptors",
        p99_s=5 * MILLISECOND,
        ratio=at_most(1.25),
        facts={"recall@10": at_least(1.0)},
    ),
    Target(
        id="P-16",
        what="read any tile of a sealed base, mapped before, every page touched",
        p99_s=5 * MICROSECOND,
        ratio=at_most(1.25),
        behind=("*",),
    ),
    Target(
        id="P-17",
        what="open a signed base, first answer within a prior and its pixels included",
        p99_s=1.0,
        behind=("*",),
        facts={"beyond_mapping_ms": at_most(30), "anonymous_mb": at_most(16)},
    ),
    Target(
        id="P-21",
        what="cut a projected GeoTIFF into tiles on Dask with two workers",
        ratio=at_least(1.7),
        facts={"overhead_a_block": at_most(0.03), "same_bytes": at_least(1.0)},
        by_cores="two workers against one core",
    ),
    Target(
        id="P-18",
        what="durable write of one tile beside a thread of pure Python that never pauses",
        p99_s=20 * MILLISECOND,
        # Three takings; the slope is an estimate of a whole number.
        facts={"lock_takings": at_most(3.5), "turns_beside_5": at_most(3)},
    ),
    Target(
        id="P-19",
        what="seal the tiles of a store, durable",
        ratio=at_least(0.8),
        behind=("*",),
        facts={"peak_mb": at_most(256)},
        by_cores="ours reads and hashes on several threads, the floor on one",
    ),
    Target(
        id="P-20",
        what="cut a projected GeoTIFF into tiles and their parents, on one core",
        ratio=at_least(0.8),
        behind=("*",),
    ),
    Target(
        id="P-22",
        what="go or no-go of 500 km, 5 km to each side, 3 zooms, 170k tiles",
        p99_s=2.0,
        ratio=at_most(2),
    ),
)

QUICK_TOLERANCE = 2.0
"""How far a quick run on a shared machine may miss a limit before it is called missed."""


def target(row: str) -> Target:
    """The target of a row. Raises `KeyError`."""
    for candidate in TARGETS:
        if candidate.id == row:
            return candidate
    raise KeyError(row)
