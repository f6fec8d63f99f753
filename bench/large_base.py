"""Sealed bases of a thousand to ten million tiles: opening, reading, checking.

    python bench/large_base.py
    python bench/large_base.py --tiles 1000 1000000 --bytes 8000 --folder FOLDER

Bases of more than a million tiles share a million contents of 64 bytes, so that the disk has room. The files
are made from arrays and have the layout and digests of a seal's. Each base is opened in a process of its own,
five times; the figures are medians, and imports are not counted. Reads are of tiles anywhere in the base, in
the page cache, every page touched, with their digests left to the scrub; the floor is the C program of P-16
over the same files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from harness.floors import Floors, running

from aerotile.adapters.files.file_digests import PART_BYTES, PartHasher
from aerotile.adapters.pmtiles.archive_directory import Directory, encode_directory, gzip_stored
from aerotile.adapters.pmtiles.archive_header import DATA_OFFSET, ArchiveHeader
from aerotile.adapters.pmtiles.archive_ids import archive_ids_of_keys
from aerotile.adapters.pmtiles.archive_writer import LEAF_ENTRIES, MOST_LEAVES
from aerotile.adapters.sealed_base import facts
from aerotile.adapters.sealed_base.facts import FACTS_ROW
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import (
    ARCHIVE_FILE,
    DIGESTS_FILE,
    FACTS_FILE,
    MANIFEST_FILE,
    PAYLOAD_TYPE,
    SECTORS_FILE,
    BaseManifest,
    SealedFile,
)
from aerotile.adapters.sealed_base.sector_file import encode_sectors
from aerotile.adapters.signatures import Trust, new_envelope, write_new_key
from aerotile.domain.values.sectors import SEEDED_RULES
from aerotile.domain.values.tile_key import MORTON_BITS, VARIANT_BITS, VariantTable

PROBE = Path(__file__).resolve().parent / "probes" / "read_base.py"
ZOOM = 18
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MOST_CONTENTS = 1_000_000
LITTLE = 64
READS = 20_000


def main() -> int:
    """Make, open, read and check each base, and print what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiles", type=int, nargs="+", default=SIZES)
    parser.add_argument("--bytes", type=int, default=8_000, help="of a tile, up to a million of them")
    parser.add_argument("--folder", type=Path, help="where the data goes")
    parser.add_argument("--picture", type=Path, help="draw how opening and reading grow, as PNG")
    parser.add_argument("--check", action="store_true", help="hash every byte, too")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aerotile-large-", dir=arguments.folder))
    seen: list[dict[str, Any]] = []
    try:
        floor = Floors(folder / "floors").program("sealed_touch")
        for tiles in arguments.tiles:
            root = folder / f"base-{tiles}"
            size = arguments.bytes if tiles <= MOST_CONTENTS else LITTLE
            public_key = make_base(root, tiles, min(tiles, MOST_CONTENTS), size)
            found = {"tiles": tiles, **measured(root, public_key, floor, check=arguments.check)}
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
            seen.append(found)
            shutil.rmtree(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.picture is not None:
        draw(arguments.picture, seen)
    return 0


def draw(path: Path, seen: list[dict[str, Any]]) -> None:
    """Write the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    tiles = [found["tiles"] for found in seen]
    lines = {
        "open the signed base, ten tiles read [ms]": ("open_ms",),
        "read a tile, every page touched [us]": ("read_p50_us", "read_p99_us", "floor_p50_us"),
    }
    for axes, (title, names) in zip(figure.subplots(1, 2), lines.items(), strict=True):
        for name in names:
            axes.plot(tiles, [found[name] for found in seen], marker="o", label=name)
        axes.set(xscale="log", xlabel="tiles", title=title, ylim=(0, None))
        axes.legend()
    figure.savefig(path, dpi=90)


def measured(root: Path, public_key: str, floor: Path, *, check: bool) -> dict[str, Any]:
    """What opening and reading take, beside the floor."""
    folder = BaseGenerations(root / "base").folder("000001")
    rows = np.memmap(folder / FACTS_FILE, FACTS_ROW, "r")
    rng = np.random.default_rng(1)
    keys = rows["key"][rng.integers(0, len(rows), READS)]
    asked = root / "keys"
    asked.write_text("".join(f"{key}\n" for key in keys.tolist()), "ascii")
    opened = [probe("open", root, public_key, asked) for _ in range(5)]
    ratios, medians = [], []
    with running(floor, folder / FACTS_FILE, folder / ARCHIVE_FILE, asked) as c_read:
        for _ in range(3):
            ours = probe("read", root, public_key, asked)
            theirs = np.sort(c_read.sample(READS))
            medians.append((ours["p50_us"], ours["p99_us"], float(theirs[len(theirs) // 2]) * 1e6))
            ratios.append(ours["p50_us"] / medians[-1][2])
    p50, p99, floor_p50 = (statistics.median(each) for each in zip(*medians, strict=True))
    found = {
        "open_ms": statistics.median(each["open_ms"] for each in opened),
        "open_anonymous_mb": statistics.median(each["anonymous_mb"] for each in opened),
        "read_p50_us": p50,
        "read_p99_us": p99,
        "floor_p50_us": floor_p50,
        "read_ratio": statistics.median(ratios),
    }
    if check:
        found |= {f"check_{name}": value for name, value in probe("check", root, public_key, asked).items()}
    return found


def probe(way: str, root: Path, public_key: str, keys: Path) -> dict[str, float]:
    """Run the probe in a process of its own. Raises `RuntimeError` when it failed."""
    command = [sys.executable, str(PROBE), way, str(root), public_key, str(keys)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{way} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def make_base(root: Path, tiles: int, contents: int, size: int) -> str:
    """A signed base in use below `root`, its tiles along the Z-curve; returns the public key."""
    generations = BaseGenerations(root / "base")
    with generations.locked(), generations.building(1) as partial:
        manifest = write_files(partial, tiles, contents, size)
        envelope = new_envelope(manifest.encode(), PAYLOAD_TYPE)
        (partial / MANIFEST_FILE).write_bytes(envelope)
    key = root / "release.key"
    public_key = write_new_key(key)
    generations.sign("000001", key.read_bytes())
    generations.switch_to("000001", Trust((public_key,), 1), require_signature=True)
    return public_key


def write_files(folder: Path, tiles: int, contents: int, size: int) -> BaseManifest:
    """All files but the manifest, which is returned."""
    keys = (ZOOM << MORTON_BITS | np.arange(tiles, dtype=np.int64)) << VARIANT_BITS | 1
    ids = archive_ids_of_keys(keys)
    order = np.argsort(ids)
    which = np.arange(tiles) % contents
    with (folder / ARCHIVE_FILE).open("w+b") as file:
        digests, length = write_contents(file, contents, size)
        write_directories(file, ids[order], which * length, contents, length)
    rows = np.zeros(tiles, FACTS_ROW)
    rows["key"], rows["length"], rows["tile_size_pixels"] = keys, length, 256
    rows["captured_us"], rows["ground_sample_distance"] = 1_767_225_600_000_000, 0.5
    rows["offset"][order] = DATA_OFFSET + which * length
    rows["sha256"][order] = digests[which]
    (folder / FACTS_FILE).write_bytes(rows.tobytes())
    (folder / SECTORS_FILE).write_bytes(encode_sectors((), SEEDED_RULES))
    first_keys = keys[:: facts.PART_ROWS].tobytes()
    return BaseManifest(
        generation=1,
        boxes=(),
        zooms=(),
        prefer=(),
        tiles=tiles,
        contents=contents,
        latest_capture_us=1_767_225_600_000_000,
        left_out={},
        variants=VariantTable(),
        datasets=(),
        default_classification="stable_rear",
        aerotile="0",
        recall_number=0,
        first_keys_sha256=sha256(first_keys).hexdigest(),
        files=write_digests(folder, first_keys),
    )


def write_contents(file: BinaryIO, contents: int, size: int) -> tuple[npt.NDArray[np.void], int]:
    """Write `contents` different tiles behind the header; returns their digests and the length of each."""
    block = sha256(b"block").digest() * (size // 32)
    digests = np.empty(contents, "V32")
    file.seek(DATA_OFFSET)
    for number in range(contents):
        pixels = number.to_bytes(8, "little") + block[8:]
        digests[number] = sha256(pixels).digest()
        file.write(pixels)
    return digests, len(block)


def write_directories(
    file: BinaryIO, ids: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], contents: int, length: int
) -> None:
    """Write the directories behind the data, and the header before it."""
    tiles = len(ids)
    leaf_entries = max(LEAF_ENTRIES, -(-tiles // MOST_LEAVES))
    roots, leaves_offset = [], file.tell()
    for first in range(0, tiles, leaf_entries):
        here = slice(first, first + leaf_entries)
        ones = np.ones(len(ids[here]), np.uint64)
        frame = encode_directory(
            Directory(ids[here], ones, ones * np.uint64(length), offsets[here].astype(np.uint64))
        )
        roots.append((ids[first], 0, len(frame), file.tell() - leaves_offset))
        file.write(frame)
    root = encode_directory(Directory(*(np.ascontiguousarray(c) for c in np.array(roots, np.uint64).T)))
    metadata = gzip_stored(b"{}")
    header = ArchiveHeader(
        root_length=len(root),
        metadata_offset=file.tell(),
        metadata_length=len(metadata),
        leaves_offset=leaves_offset,
        leaves_length=file.tell() - leaves_offset,
        data_length=leaves_offset - DATA_OFFSET,
        tiles=tiles,
        entries=tiles,
        contents=contents,
        min_zoom=ZOOM,
        max_zoom=ZOOM,
        bounds_e7=(0, 0, 1, 1),
    )
    file.write(metadata)
    file.seek(0)
    file.write(header.encode() + root)


def write_digests(folder: Path, first_keys: bytes) -> dict[str, SealedFile]:
    """Write the digests of the parts of the files; returns what the manifest says of each."""
    files, parts = {}, b""
    for name, part_bytes in (
        (ARCHIVE_FILE, PART_BYTES),
        (FACTS_FILE, facts.PART_BYTES),
        (SECTORS_FILE, 1 << 20),
    ):
        hasher = PartHasher(part_bytes)
        with (folder / name).open("rb") as written:
            while piece := written.read(PART_BYTES):
                hasher.update(piece)
            found = hasher.digests()
            files[name] = SealedFile(written.tell(), part_bytes, found.root)
        parts += found.raw()
    (folder / DIGESTS_FILE).write_bytes(parts + first_keys)
    return files


if __name__ == "__main__":
    sys.exit(main())
