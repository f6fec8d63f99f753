"""The most memory that a build takes, and the memory that is available."""

from __future__ import annotations

from pathlib import Path

from ...domain.values.descriptors import HnswParams, VectorStorage

COMPONENT_BYTES = {VectorStorage.FLOAT16: 2, VectorStorage.FLOAT32: 4}
_LINK_BYTES = 4
# Per tile: its level 4, its offset among the links 8, its key twice 16 (in this program and in FAISS) and 8
# while keys are sorted, the way from key to row up to 56 (a hash table in FAISS, once built and once read
# back), a lock while the tile is linked 4.
_TILE_BYTES = 4 + 8 + 16 + 8 + 2 * 56 + 4
_FIXED_BYTES = 32 << 20
"""FAISS's own working memory, and memory that threads and the allocator hold."""
DESCRIPTORS_AT_ONCE = 4096
"""Enough to keep every thread busy, few enough for progress to move."""


def links_per_tile(m: int) -> float:
    """Links that FAISS reserves for a tile on average.

    2 m on the lowest layer; a tile is on layer i with probability m**-i and has m links there (Malkov and
    Yashunin 2018, with the level multiplier 1 / ln m). Layers are random: 5 % more covers all but the
    smallest graphs.
    """
    return 2 * m + 1.05 * m / (m - 1)


def build_memory_bytes(
    count: int, dimension: int, params: HnswParams, storage: VectorStorage, threads: int
) -> int:
    """The most that a build adds to the process's own memory, beside tile ids and descriptors given to it.

    The vectors, the links, a fixed amount per tile, one byte per tile and thread that notes which tiles were
    visited, one chunk of descriptors, and a fixed amount.
    """
    vectors = count * dimension * COMPONENT_BYTES[storage]
    links = count * links_per_tile(params.m) * _LINK_BYTES
    chunk = DESCRIPTORS_AT_ONCE * dimension * COMPONENT_BYTES[VectorStorage.FLOAT32]
    return round(vectors + links + count * (_TILE_BYTES + threads) + chunk + _FIXED_BYTES)


def available_memory_bytes(
    meminfo: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that a process can still take without displacing others; None where the kernel gives no figure.

    The smaller of the machine's figure and, under version 2 or 1 of control groups, that of the group as it
    is mounted in a container.
    """
    known = [_machine_bytes(meminfo)]
    known += [
        _group_bytes(control_group / folder, limit, used, inactive)
        for folder, limit, used, inactive in (
            (".", "memory.max", "memory.current", "inactive_file"),
            ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        )
    ]
    return min((size for size in known if size is not None), default=None)


def _machine_bytes(meminfo: Path) -> int | None:
    kibibytes = _table(meminfo).get("MemAvailable:")
    return None if kibibytes is None else kibibytes << 10


def _group_bytes(folder: Path, limit: str, used: str, inactive: str) -> int | None:
    """Bytes below the group's limit; file pages that the kernel would drop count as free."""
    try:
        most = int((folder / limit).read_text("ascii"))
        now = int((folder / used).read_text("ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, most - now + _table(folder / "memory.stat").get(inactive, 0))


def _table(path: Path) -> dict[str, int]:
    """The first number of each line under its first word."""
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
