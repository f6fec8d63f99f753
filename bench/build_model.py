"""The model of a build's size beside builds that are measured here, and builds of up to 100 million by it.

    python bench/build_model.py
    python bench/build_model.py --measure 1400 4400

`--measure` makes rasters of so many pixels a side, cuts them into tiles of 16 pixels, describes these as 64
numbers and seals them with their index in one process, each build in a process of its own. The first one sets
the bytes and the seconds of a tile; of the others the model says blocks, tasks, bytes, seconds and memory.
Seconds are the processor's. JSON documents on standard output, one a line.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
from build_phases import PHASES, ProcessorTime, write_plan
from harness.build_squares import blocks_of_a_square

from aerotile import AerotileConfig, IndexConfig, TilesConfig
from aerotile.adapters.build_files.one_process import OneProcess
from aerotile.adapters.composition import Runtime
from aerotile.adapters.composition.building_parts import BuildReport
from aerotile.adapters.faiss.build_memory import build_memory_bytes
from aerotile.adapters.faiss.kinds import kind_for
from aerotile.adapters.input_files.build_plan import read_build_plan
from aerotile.domain.build_sizes import BuildSize, build_size
from aerotile.domain.values.descriptors import HnswParams, VectorStorage

_TILE, _NUMBERS, _WARM_SIDE = 16, 64, 256
_SIMULATED = (1_000_000, 10_000_000, 100_000_000)
_THEATRE_NUMBERS, _COMPONENT_BYTES = 512, 2
_MIB = 1 << 20


def main() -> int:
    """Measure what was asked for, and print the model beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, nargs="+", default=[], metavar="SIDE")
    first: dict[str, Any] | None = None
    for side in parser.parse_args().measure:
        with (
            tempfile.TemporaryDirectory(prefix="aerotile-model-") as folder,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            measured = pool.submit(_measured, folder, side).result()
        first = first or measured
        predicted = _predicted(measured["tiles"], first)
        errors = {
            key: f"{100 * (value / measured[key] - 1):+.1f} %"
            for key, value in predicted.items()
            if measured[key]
        }
        _print({"measured": measured, "model": predicted, "error": errors})
    for tiles in _SIMULATED:
        _print({"simulated": _simulated(tiles)})
    return 0


def _print(document: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


def _measured(folder: str, side: int) -> dict[str, Any]:
    """Build in this process: counts, bytes, seconds of the processor by phase, and the most memory."""
    place = Path(folder)
    _built(place / "warm", _WARM_SIDE)  # the first imports
    report, processor, work = _built(place / "whole", side)
    sizes = {
        step: sum(file.stat().st_size for file in (work / step).glob("*/*"))
        for step in ("tiles", "descriptors", "shards")
    }
    assert report.shards is not None
    return {
        "tiles": report.tiles.rows,
        "blocks": report.tiles.blocks,
        "shards": report.shards.blocks,
        "jpeg_bytes": sizes["tiles"] - _size(report.tiles.rows, report.tiles.blocks, 0).tile_bytes,
        "tile_bytes": sizes["tiles"],
        "descriptor_bytes": sizes["descriptors"],
        "shard_bytes": sizes["shards"],
        **{f"{phase}_s": round(processor.own[phase], 2) for phase in PHASES},
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def _built(place: Path, side: int) -> tuple[BuildReport, ProcessorTime, Path]:
    """Build from a raster of so many pixels a side: the report, the processor's time, the working folder."""
    place.mkdir()
    plan = read_build_plan(write_plan(place / "plan", place / "ortho.tif", side))
    config = AerotileConfig(
        root=place / "root",
        tiles=TilesConfig(tile_size_pixels=_TILE),
        index=IndexConfig(m=8, ef_construction=40),
    )
    processor = ProcessorTime()
    with Runtime(config) as runtime, runtime.planned_build(plan, None) as planned:
        report = runtime.build_base(planned, OneProcess(), number=1, progress=processor.progress)
    processor.enter(None)
    return report, processor, plan.work


def _size(tiles: int, blocks: int, jpeg_bytes: int, dimension: int = _NUMBERS) -> BuildSize:
    return build_size(
        tiles=tiles,
        blocks=blocks,
        jpeg_bytes=jpeg_bytes,
        rows_a_tile=1,
        dimension=dimension,
        component_bytes=_COMPONENT_BYTES,
    )


def _predicted(tiles: int, first: dict[str, Any]) -> dict[str, float]:
    """By the count of tiles, and by the bytes and the seconds of a tile in the first build."""
    share = tiles / first["tiles"]
    size = _size(tiles, blocks_of_a_square(tiles), round(first["jpeg_bytes"] * share))
    return {
        "blocks": size.blocks,
        "shards": size.shards,
        "tile_bytes": size.tile_bytes,
        "descriptor_bytes": size.descriptor_bytes,
        "shard_bytes": size.shard_bytes,
        **{f"{phase}_s": round(first[f"{phase}_s"] * share, 2) for phase in PHASES},
    }


def _simulated(tiles: int) -> dict[str, Any]:
    """A theatre with an index of 512 numbers as float16 and the usual graph; bytes without the JPEGs."""
    size = _size(tiles, blocks_of_a_square(tiles), 0, _THEATRE_NUMBERS)
    params, storage = HnswParams(), VectorStorage.FLOAT16
    kind = kind_for(tiles, _THEATRE_NUMBERS, params, storage)
    memory = build_memory_bytes(tiles, _THEATRE_NUMBERS, params, storage, 1, kind)
    return attrs.asdict(size) | {
        "work_bytes": size.work_bytes,
        "graph": kind.value,
        "graph_memory_mib": memory // _MIB,
    }


if __name__ == "__main__":
    sys.exit(main())
