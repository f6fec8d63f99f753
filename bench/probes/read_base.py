"""Open a base, read tiles of it, or check it whole, in a process of its own; prints JSON.

    python bench/probes/read_base.py WAY ROOT PUBLIC_KEY KEYS

WAY: `open`, `read` or `check`; KEYS is a file with the keys of the tiles that are read.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import cryptography.hazmat.bindings._rust
import securesystemslib.dsse  # noqa: F401
from memory_of import growth, memory_bytes

import aerotile
from aerotile.adapters import composition, filesystem, postgres, rtree  # noqa: F401
from aerotile.adapters.config.base_section import BaseVerify
from aerotile.adapters.recall_lists import lists  # noqa: F401
from aerotile.adapters.recorder import writer  # noqa: F401
from aerotile.adapters.sealed_base import key_lists, store  # noqa: F401
from aerotile.adapters.sealed_base.check import check_base
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.adapters.signatures import Trust
from aerotile.domain.values.tile_key import VariantTable, decode_tile_key

for _name in ("AerotileConfig", "TileId", "build_sealed_base"):
    getattr(aerotile, _name)
assert cryptography.hazmat.bindings._rust  # loaded for the check of signatures


def _config(root: Path, public_key: str, verify: BaseVerify) -> aerotile.AerotileConfig:
    return aerotile.AerotileConfig(
        root=root,
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(public_keys=(public_key,), verify=verify),
    )


def _touched(handle: Any) -> int:
    with handle, memoryview(handle) as pixels:
        return sum(pixels[::4096])


def opened(config: aerotile.AerotileConfig, tile_ids: list[aerotile.TileId]) -> dict[str, float]:
    """Open it and read ten tiles, which are verified."""
    gc.collect()
    before, started = memory_bytes(), time.perf_counter()
    tiles = aerotile.build_sealed_base(config)
    for tile_id in tile_ids[:10]:
        _touched(tiles.read_tile_pixels(tile_id))
    seconds = time.perf_counter() - started
    return {
        "open_ms": seconds * 1e3,
        "anonymous_mb": growth(before, memory_bytes())["anonymous_bytes"] / 1e6,
    }


def read(config: aerotile.AerotileConfig, tile_ids: list[aerotile.TileId]) -> dict[str, float]:
    """Read each tile twice, every page touched; the second read is timed."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from harness.floors import Floors

    touch = Floors(config.root / "floors").module("pagetouch").touch
    read_pixels = aerotile.build_sealed_base(config).read_tile_pixels
    for tile_id in tile_ids:
        touch(read_pixels(tile_id))
    clock, samples = time.perf_counter, []
    for tile_id in tile_ids:
        started = clock()
        touch(read_pixels(tile_id))
        samples.append(clock() - started)
    samples.sort()
    return {
        "p50_us": samples[len(samples) // 2] * 1e6,
        "p99_us": samples[len(samples) * 99 // 100] * 1e6,
    }


def checked(root: Path, public_key: str) -> dict[str, float]:
    """Hash every byte and compare directories and facts."""
    base = open_base(
        BaseGenerations(root / "base"), "000001", Trust((public_key,), 1), require_signature=True
    )
    before, started, peak = memory_bytes(), time.perf_counter(), 0

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal peak
        if event == "call" and frame.f_code.co_name == "_row_numbers":
            peak = max(peak, memory_bytes()["anonymous_bytes"])

    sys.setprofile(watch)
    findings = check_base(base)
    sys.setprofile(None)
    if findings:
        raise SystemExit(f"the base is damaged: {findings[:3]}")
    return {
        "seconds": time.perf_counter() - started,
        "anonymous_mb": (peak - before["anonymous_bytes"]) / 1e6,
    }


def main() -> None:
    """Open, measure, print."""
    way, root, public_key = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    keys = Path(sys.argv[4]).read_text("ascii").split()
    tile_ids = [decode_tile_key(int(key), VariantTable()) for key in keys]
    if way == "check":
        found = checked(root, public_key)
    elif way == "open":
        found = opened(_config(root, public_key, BaseVerify.READ), tile_ids)
    else:
        found = read(_config(root, public_key, BaseVerify.SCRUB), tile_ids)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    aerotile.close_runtimes()


if __name__ == "__main__":
    main()
