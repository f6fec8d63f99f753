"""How much memory a build takes at most, and how much there is."""

from __future__ import annotations

from pathlib import Path

from ...domain.values.descriptors import HnswParams, VectorStorage

COMPONENT_BYTES = {VectorStorage.FLOAT16: 2, VectorStorage.FLOAT32: 4}
_LINK_BYTES = 4
# Per tile: its level 4, its place among the links 8, its key twice 16 (ours and FAISS's) and 8 while they are
# sorted, the key's way back to its row up to 56 (a hash table in FAISS, once built and once read back), a
# lock while it is linked 4.
_TILE_BYTES = 4 + 8 + 16 + 8 + 2 * 56 + 4
_FIXED_BYTES = 32 << 20
"""FAISS's own working memory, what threads and the allocator keep."""
DESCRIPTORS_AT_ONCE = 4096
"""Enough to keep every thread busy, few enough for progress to move."""


def links_per_tile(m: int) -> float:
    """Places for links that FAISS keeps for a tile on average.

    2 m on the lowest layer; a tile is on layer i with probability m**-i and has m there (Malkov and Yashunin
    2018, with the level multiplier 1 / ln m). Layers are drawn by chance: 5 % more covers any graph worth
    the name.
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
    """What a process can still take without pushing others out; None where the kernel does not say.

    The smaller of the machine's and, under version 2 or 1 of control groups, the group's own limit as it is
    mounted in a container.
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
    """What the group's limit leaves, counting file pages that the kernel would drop as free."""
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
