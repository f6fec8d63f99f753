"""How large the house is, what takes its lines, and what a write, a batch and an upload pass. No times.

    python bench/house.py

Frames, files and layer changes are those of the calling thread in Aerotile's own Python files; a layer is a
folder at the root, `domain` or `adapters`. PostgreSQL is the embedded one, the provider the reference one.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import FrameType

import aerotile
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.loader import load_config
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.provider.server import ReferenceProvider

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("domain", "adapters", "adapters/contracts", "ext", "bench", "tests")
SOURCES = {".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".js", ".css", ".html", ".sql"}
ABILITIES = {
    "archives, rasters, servers of tiles, export": (
        "imagery|raster|tile_services/|export|pmtiles|halved|provision|mosaic|wanted_places|place_layers|"
        "tile_fetching|retry_after|fetched_versions|tile_versions|picture|simplejpeg|safe_xml|server_options"
    ),
    "the sealed, signed base": (
        "sealed_|(?<!data)base_|/base|layered_store|sealing_parts|signatures|signed_files|seal_copy|read_only_store|"
        "index_files|digests|checked_tiles|large_base"
    ),
    "the map page": "map_page|web_server|serving|commands/serve|coverage",
    "go or no-go, routes, corridors": "readiness|ready|corridor|route|areas|sector_shapes|grid_lines",
    "builds of a base on many machines": (
        "build_(blocks|files|plan|steps|graph|environment|jobs|phases)|/dask|cut_block|block_runner|"
        "(commands|paths)/build"
    ),
    "searches within an area, kinds of index": "area_|place_order|faiss/kinds|one_bit|index_agreement",
    "recall of tiles": "recall_|recalled|commands/recall",
    "networks that describe tiles": "descriptor_model|describe|onnx|prior",
    "lookups on the record, replay, Foxglove": "lookup|replay|foxglove|mcap",
    "datasets and capture dates": "dataset_|datasets|admit_dataset|capture_|amend",
    "health in flight": "health|degraded|io_budget",
}
"""What came since the redesign, by the paths of its files; a file counts for the first that matches."""
PACKAGE = Path(aerotile.__file__).parent
FLIGHT = uuid.UUID(int=7)


def sources_of(folder: str) -> Iterator[Path]:
    """The files that people write: compiled C has a `.pyx` beside it."""
    for path in (REPOSITORY / folder).rglob("*"):
        nested = folder == "adapters" and path.is_relative_to(REPOSITORY / "adapters" / "contracts")
        made = path.suffix == ".c" and path.with_suffix(".pyx").exists()
        if path.suffix in SOURCES and not nested and not made:
            yield path


def print_sizes() -> None:
    """A row a folder; empty files do not count."""
    print("| folder | files | lines | median | largest |\n|---|---|---|---|---|")
    for folder in FOLDERS:
        lengths = [n for path in sources_of(folder) if (n := path.read_text("utf-8").count("\n"))]
        row = (len(lengths), sum(lengths), int(median(lengths)), max(lengths))
        print(f"| `{folder}/` |", " | ".join(f"{figure:,}" for figure in row), "|")


def print_abilities() -> None:
    """A row an ability, its lines by folder; the contract suites do not count."""
    folders = [folder for folder in FOLDERS if folder not in ("adapters/contracts", "tests")]
    lines = {name: dict.fromkeys(folders, 0) for name in (*ABILITIES, "all else")}
    for folder in folders:
        for path in sources_of(folder):
            place = path.relative_to(REPOSITORY).as_posix()
            name = next((name for name, of in ABILITIES.items() if re.search(of, place)), "all else")
            lines[name][folder] += path.read_text("utf-8").count("\n")
    print(f"| what | {' | '.join(f'`{folder}/`' for folder in folders)} |\n|{'---|' * (1 + len(folders))}")
    for name, row in lines.items():
        print(f"| {name} |", " | ".join(f"{count:,}" for count in row.values()), "|")


def print_call(name: str, call: Callable[[], object]) -> None:
    """What one call passes."""
    files: list[str] = []
    clock_reads = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal clock_reads
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE) and ".venv" not in path.parts:
            files.append(str(path.relative_to(PACKAGE)))
            clock_reads += (path.name, frame.f_code.co_name) == ("clocks.py", "now")

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    layers = [path.partition("/")[0] for path in files]
    changes = sum(one != other for one, other in pairwise(layers))
    row = (len(files), len(set(files)), changes, clock_reads)
    print(f"| {name} |", " | ".join(f"{figure:,}" for figure in row), "|")


def tile(x: int, source: aerotile.TileSource) -> tuple[bytes, aerotile.TileMetadata]:
    """A tile of 50,000 bytes and its facts."""
    pixels = example_jpeg(f"{x:08}".encode() * 6250)
    flight = FLIGHT if source is aerotile.TileSource.ONBOARD else None
    return pixels, aerotile.TileMetadata(
        tile_id=aerotile.TileId(18, x, 7, source, flight),
        captured_at=datetime.now(timezone.utc),
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=0.6,
    )


def print_calls(folder: Path) -> None:
    """A row a call, each after others like it."""
    token = uuid.uuid4().hex
    with ReferenceProvider(folder / "provider", Secret(token)) as provider:
        settings = {"AEROTILE_UPLOAD_URL": provider.url, "AEROTILE_UPLOAD_TOKEN": token}
        config = load_config(environment={"AEROTILE_ROOT": str(folder / "data"), **settings})
        print("| call | frames | files | layer changes | clock reads |\n|---|---|---|---|---|")
        with Runtime(config) as runtime:
            store, uploader = runtime.tile_store, runtime.tile_uploader()
            imported, onboard = aerotile.TileSource.IMPORTED, aerotile.TileSource.ONBOARD
            single = tile(20, imported)
            batches = [[tile(1000 * n + x, imported) for x in range(64)] for n in (1, 2)]
            for x in range(20):
                store.write_tile(*tile(x, imported))
            print_call("write of one tile", lambda: store.write_tile(*single))
            store.write_tiles(batches[0])
            print_call("batch of 64", lambda: store.write_tiles(batches[1]))
            request = aerotile.UploadRequest()
            store.write_tile(*tile(0, onboard))
            uploader.upload_pending_tiles(request)
            store.write_tile(*tile(1, onboard))
            print_call("upload of one tile", lambda: uploader.upload_pending_tiles(request))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    print_sizes()
    print()
    print_abilities()
    print()
    with tempfile.TemporaryDirectory() as name:
        print_calls(Path(name))
