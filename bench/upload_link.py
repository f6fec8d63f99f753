"""Upload tiles to the reference provider over a slow, long link, and say how much of the link was used.

    sudo python bench/upload_link.py
    sudo python bench/upload_link.py --tiles 500 --megabits 20 --round-trip-ms 80 --json

Makes its own store, provider and network namespaces, and removes them. Exit code 1 when tiles are missing at
the provider or the share is under --floor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from shaped_link import ShapedLink

from aerotile import (
    AerotileConfig,
    TileId,
    TileMetadata,
    TileSource,
    VotingStatus,
    apply_migrations,
    build_tile_store,
)
from aerotile.adapters.memory.example_jpeg import example_jpeg

FLIGHT = uuid.UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
ZOOM = 18
WRITTEN_AT_ONCE = 500
PROGRAM = (sys.executable, "-m", "aerotile.adapters.cli")
PORT = 8080
TOKEN = "only-for-this-run"
LIMIT_S = 3600


def main() -> int:
    """Run once and print what was seen."""
    arguments = read_arguments()
    if os.geteuid() != 0:
        sys.stderr.write("upload_link: skipped, network namespaces need root\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="aerotile-upload-link-") as work:
        root, received = Path(work, "aircraft"), Path(work, "provider")
        Path(work).chmod(0o755)  # the database may run as another user, and must get to its folder
        # In a process of its own, which closes the store before the uploader opens it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as filling:
            expected = filling.submit(fill_store, root, arguments.tiles, arguments.tile_bytes).result()
        with ShapedLink(
            bits_per_s=arguments.megabits * 1e6,
            round_trip_s=arguments.round_trip_ms / 1000,
            congestion_control=arguments.congestion_control,
        ) as link:
            facts = upload(link, root, received, Path(work, "port"))
        stored = {
            path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (received / "tiles").glob("*.jpg")
        }
    facts |= {
        "tiles": arguments.tiles,
        "tile_bytes": arguments.tile_bytes,
        "megabits": arguments.megabits,
        "round_trip_ms": arguments.round_trip_ms,
        "congestion_control": arguments.congestion_control,
        "complete": stored == expected,
    }
    show(facts, as_json=arguments.json)
    return 0 if facts["complete"] and facts["share"] >= arguments.floor else 1


def read_arguments() -> argparse.Namespace:
    """The size of the run; the defaults are those that the target speaks of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--tile-bytes", type=int, default=30_000)
    parser.add_argument("--megabits", type=float, default=20.0, help="rate of the link, Mbit/s")
    parser.add_argument("--round-trip-ms", type=float, default=80.0)
    parser.add_argument("--congestion-control", default="cubic", help="cubic is Linux's default")
    parser.add_argument("--floor", type=float, default=0.0, help="least share of the link, 0 to 1")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def fill_store(root: Path, count: int, size: int) -> dict[str, str]:
    """A store with `count` pending tiles of `size` bytes that don't compress; the hash of each by name."""
    config = AerotileConfig(root=root)
    apply_migrations(config)
    store = build_tile_store(config)
    expected: dict[str, str] = {}
    batch: list[tuple[bytes, TileMetadata]] = []
    for pixels, metadata in make_tiles(count, size):
        expected[str(metadata.tile_id.tile_uuid)] = metadata.content_sha256
        batch.append((pixels, metadata))
        if len(batch) == WRITTEN_AT_ONCE or len(expected) == count:
            store.write_tiles(batch)  # type: ignore[attr-defined] # the store that is built can write in bulk
            batch.clear()
    return expected


def make_tiles(count: int, size: int) -> Iterator[tuple[bytes, TileMetadata]]:
    """Tiles that are no pictures but have a JPEG's structure; the same in every run."""
    noise = random.Random(18)
    for number in range(count):
        pixels = example_jpeg(noise.randbytes(size), size)
        yield (
            pixels,
            TileMetadata(
                tile_id=TileId(
                    ZOOM, 140_000 + number % 200, 90_000 + number // 200, TileSource.ONBOARD, FLIGHT
                ),
                captured_at=datetime.now(timezone.utc),
                content_sha256=hashlib.sha256(pixels).hexdigest(),
                disk_bytes=size,
                ground_sample_distance=0.59,
                voting_status=VotingStatus.PENDING,
            ),
        )


def upload(link: ShapedLink, root: Path, received: Path, port_file: Path) -> dict[str, Any]:
    """Run provider and uploader at the two ends of the link, and measure."""
    provider = subprocess.Popen(
        link.command(
            link.far,
            *PROGRAM,
            *("provider", "--folder", str(received), "--host", link.far_address),
            *("--port", str(PORT), "--port-file", str(port_file)),
        ),
        env={**os.environ, "REFERENCE_PROVIDER_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port_file, provider)
        settings = {
            "AEROTILE_UPLOAD_URL": f"http://{link.far_address}:{PORT}",
            "AEROTILE_UPLOAD_TOKEN": TOKEN,
            "AEROTILE_UPLOAD_ALLOW_PLAINTEXT": "true",  # between two namespaces of this machine
        }
        command = link.command(link.near, *PROGRAM, "--root", str(root), "upload", "--json")
        _, idle_kib, _ = run_measured([*command, "--dry-run"], settings)
        before, _ = link.carried_bytes
        report, peak_kib, provider_kib = run_measured(command, settings, also=provider.pid)
        after, _ = link.carried_bytes
    finally:
        provider.terminate()
        provider.wait()
    capacity_bytes = link.bits_per_s / 8 * report["seconds"]
    return {
        "seconds": report["seconds"],
        "share": report["uploaded_bytes"] / capacity_bytes,
        "share_with_headers": (after - before) / capacity_bytes,
        "dropped_packets": link.dropped_packets,
        "uploaded_bytes": report["uploaded_bytes"],
        "left": report["left"],
        "uploader_peak_kib": peak_kib,
        "uploader_idle_kib": idle_kib,
        "provider_peak_kib": provider_kib,
    }


def wait_for(port_file: Path, provider: subprocess.Popen[bytes]) -> None:
    """Until the provider answers."""
    while not port_file.exists():
        if provider.poll() is not None:
            raise SystemExit("upload_link: the provider did not start")
        time.sleep(0.05)


def run_measured(
    command: list[str], settings: dict[str, str], *, also: int | None = None
) -> tuple[dict[str, Any], int, int]:
    """Run to the end: its JSON, its peak resident memory in KiB, and that of process `also`."""
    process = subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    peaks = [0, 0]
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        for place, pid in enumerate((process.pid, also)):
            peaks[place] = max(peaks[place], peak_memory_kib(pid) if pid is not None else 0)
        time.sleep(0.1)
    output, _ = process.communicate()
    report = json.loads(output)
    assert isinstance(report, dict)
    return report, peaks[0], peaks[1]


def peak_memory_kib(pid: int) -> int:
    """The most memory that a process has had resident; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) if lines else 0


def show(facts: dict[str, Any], *, as_json: bool) -> None:
    """The figures, for a program or for a person."""
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    sys.stdout.write(
        f"{facts['tiles']} tiles of {facts['tile_bytes']} bytes over {facts['megabits']:g} Mbit/s, "
        f"{facts['round_trip_ms']:g} ms, {facts['congestion_control']}: {facts['seconds']:.1f} s, "
        f"{facts['share']:.3f} of the link as pixels, {facts['share_with_headers']:.3f} with headers, "
        f"{facts['dropped_packets']} packets dropped; "
        f"peak memory {facts['uploader_peak_kib'] / 1024:.1f} MiB "
        f"({facts['uploader_idle_kib'] / 1024:.1f} MiB without uploading), "
        f"provider {facts['provider_peak_kib'] / 1024:.1f} MiB; "
        f"{'every tile is there' if facts['complete'] else 'TILES ARE MISSING'}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
