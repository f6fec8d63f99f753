"""`aerotile ingest`."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import click

from ...domain.budget import BudgetEnforcedTileStore
from ...domain.errors import (
    AerotileError,
    CacheBudgetExhaustedError,
    DuplicateTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ...domain.jpeg import read_jpeg_size
from ...domain.tile_grid import ground_sample_distance
from ...domain.tiles import FreshnessLabel, TileId, TileMetadata, TileSource
from .arguments import EXISTING_FOLDER, MOMENT, ZOOM
from .command import AerotileCommand
from .failures import BadInputError, JobFailedError, one_line
from .output import in_words, json_option, write_json, write_line
from .progress import progress_bar
from .session import Session
from .xyz_folder import XyzFile, XyzFolder, read_sidecar, scan_xyz_folder

MAX_TILE_BYTES = 64 << 20
_LISTED_REFUSALS = 20

Batch = list[XyzFile]


@attrs.frozen
class Refusal:
    """One tile that was not taken, and why."""

    file: str
    tile: str
    error: str
    message: str


@attrs.define
class IngestReport:
    """How the tiles of a folder ended."""

    counts: Counter[str] = attrs.field(factory=Counter)
    """`stored` (`downgraded` ones included), `downgraded`, `present`, `refused`."""
    stored_bytes: int = 0
    refusals: list[Refusal] = attrs.field(factory=list)

    def refuse(self, tile: XyzFile, error: Exception, source: TileSource) -> None:
        """Note a tile that was not taken."""
        self.counts["refused"] += 1
        name = f"{source.value}/{tile.zoom_level}/{tile.x}/{tile.y}"
        self.refusals.append(Refusal(tile.path, name, type(error).__name__, one_line(str(error))))

    @property
    def done(self) -> int:
        """How many tiles have ended."""
        return self.counts["stored"] + self.counts["present"] + self.counts["refused"]


@attrs.frozen
class _Loaded:
    """A batch read from the disk: what can be written, what is there already, what can't be a tile."""

    writable: list[tuple[XyzFile, bytes, TileMetadata]] = attrs.field(factory=list)
    present: list[XyzFile] = attrs.field(factory=list)
    refused: list[tuple[XyzFile, Exception]] = attrs.field(factory=list)


@attrs.frozen
class _Ingest:
    """One run over a folder."""

    store: BudgetEnforcedTileStore
    source: TileSource
    captured_at: datetime
    tile_size_pixels: int
    report: IngestReport = attrs.field(factory=IngestReport)

    def take(self, batches: Sequence[Batch]) -> Iterator[int]:
        """Write the batches and yield how many tiles have ended.

        Raises the error that ends the whole run: no database, no disk, no room.
        """
        for loaded in _one_ahead(batches, self._load):
            self._note(loaded)
            fatal = self._write(loaded)
            yield self.report.done
            if fatal is not None:
                raise fatal

    def _load(self, batch: Batch) -> _Loaded:
        loaded = _Loaded()
        for tile in batch:
            try:
                pixels, metadata = self._read(tile)
                if self._is_present(pixels, metadata.tile_id):
                    loaded.present.append(tile)
                else:
                    loaded.writable.append((tile, pixels, metadata))
            except (ValueError, OSError, TileCacheError) as error:
                loaded.refused.append((tile, error))
        return loaded

    def _read(self, tile: XyzFile) -> tuple[bytes, TileMetadata]:
        """The tile's bytes and facts. Raises `ValueError`, `OSError`, `TileMetadataError`."""
        tile_id = TileId(tile.zoom_level, tile.x, tile.y, self.source)
        if tile.size > MAX_TILE_BYTES:
            raise TileMetadataError(f"{tile.size} bytes is no tile's size", tile_id=tile_id)
        pixels = Path(tile.path).read_bytes()
        width, height = read_jpeg_size(pixels)
        expected = self.tile_size_pixels
        if (width, height) != (expected, expected):
            raise TileMetadataError(
                f"it is {width} x {height} pixels, expected {expected} x {expected} (tiles.tile_size_pixels)",
                tile_id=tile_id,
            )
        claimed = read_sidecar(tile) if tile.has_sidecar else hashlib.sha256(pixels).hexdigest()
        return pixels, TileMetadata(
            tile_id=tile_id,
            captured_at=self.captured_at,
            content_sha256=claimed,
            disk_bytes=len(pixels),
            tile_size_pixels=expected,
            ground_sample_distance=ground_sample_distance(tile_id.centre[0], tile_id.zoom_level, expected),
        )

    def _is_present(self, pixels: bytes, tile_id: TileId) -> bool:
        """Whether the store holds these bytes. Raises `TileMetadataError` when it holds others."""
        if not self.store.tile_exists(tile_id):
            return False
        try:
            with self.store.read_tile_pixels(tile_id) as stored, memoryview(stored) as view:
                same = view == pixels
        except TileNotFoundError:  # evicted or deleted meanwhile
            return False
        if not same:
            raise TileMetadataError("the store already holds this tile with other content", tile_id=tile_id)
        return True

    def _note(self, loaded: _Loaded) -> None:
        self.report.counts["present"] += len(loaded.present)
        for tile, error in loaded.refused:
            self.report.refuse(tile, error, self.source)

    def _write(self, loaded: _Loaded) -> AerotileError | None:
        """Write a batch; returns the error after which going on is pointless."""
        outcomes = self.store.write_tiles([(pixels, metadata) for _, pixels, metadata in loaded.writable])
        fatal: AerotileError | None = None
        for (tile, _, _), outcome in zip(loaded.writable, outcomes, strict=True):
            if outcome.stored is not None:
                self.report.counts["stored"] += 1
                self.report.stored_bytes += outcome.stored.disk_bytes
                if outcome.stored.freshness_label is FreshnessLabel.DOWNGRADED:
                    self.report.counts["downgraded"] += 1
            elif isinstance(outcome.error, DuplicateTileError):
                self.report.counts["present"] += 1
            elif outcome.error is not None:
                self.report.refuse(tile, outcome.error, self.source)
                if isinstance(outcome.error, (CacheBudgetExhaustedError, StoreUnavailableError)):
                    fatal = outcome.error
        return fatal


def _one_ahead(batches: Sequence[Batch], load: Any) -> Iterator[_Loaded]:
    """Read each batch while the one before it is being written."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="aerotile-ingest") as reader:
        ahead: Future[_Loaded] | None = None
        for batch in batches:
            current, ahead = ahead, reader.submit(load, batch)
            if current is not None:
                yield current.result()
        if ahead is not None:
            yield ahead.result()


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile ingest tiles/ --captured-at 2024-05-01
  aerotile ingest tiles/ --source satellite_provider --captured-at 2024-05-01T10:30:00Z --zoom 16 --zoom 17
""",
)
@click.argument("folder", type=EXISTING_FOLDER)
@click.option(
    "--captured-at",
    type=MOMENT,
    required=True,
    metavar="DATE",
    help="When the ground looked like that: a date, or a date and time with an offset.",
)
@click.option(
    "--source",
    type=click.Choice([TileSource.IMPORTED.value, TileSource.SATELLITE_PROVIDER.value]),
    default=TileSource.IMPORTED.value,
    show_default=True,
    help="Who made the tiles.",
)
@click.option("--zoom", "zooms", type=ZOOM, multiple=True, help="Only this zoom; may be given again.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Tiles that become durable together.",
)
@json_option
@click.pass_obj
def ingest(
    session: Session,
    folder: Path,
    captured_at: datetime,
    source: str,
    zooms: tuple[int, ...],
    batch_size: int,
    as_json: bool,
) -> None:
    """Bring a folder of XYZ tiles (zoom/x/y.jpg) into the store.

    Each tile passes every gate on its own: a bad one is named and refused, the others go in. Where a sidecar
    y.jpg.sha256 lies beside a tile, the tile must have that hash. Run again after an interruption: tiles
    that are in the store already count as present. The exit code is 1 when any tile was refused.
    """
    found = scan_xyz_folder(folder, zooms)
    if not found.tiles:
        at = f" at zoom {', '.join(map(str, zooms))}" if zooms else ""
        raise BadInputError(
            f"{folder} holds no tiles zoom/x/y.jpg{at}", remedy="name the folder that holds the zoom folders"
        )
    started = time.monotonic()
    with session.runtime() as runtime:
        run = _Ingest(
            runtime.tile_store, TileSource(source), captured_at, session.config.tiles.tile_size_pixels
        )
        _warn_of_evictions(found, runtime.metadata_store.total_disk_bytes(), session.config.budget.max_bytes)
        stopped_by: AerotileError | None = None
        batches = [found.tiles[i : i + batch_size] for i in range(0, len(found.tiles), batch_size)]
        try:
            with progress_bar("tiles", len(found.tiles)) as advance:
                for done in run.take(batches):
                    advance(done, len(found.tiles))
        except (CacheBudgetExhaustedError, StoreUnavailableError) as error:
            stopped_by = error
    seconds = time.monotonic() - started
    _print_report(run.report, found, seconds, stopped_by, as_json=as_json, call=(folder, source, captured_at))
    if stopped_by is not None:
        raise stopped_by
    if run.report.counts["refused"]:
        raise JobFailedError(
            f"{run.report.counts['refused']} of {len(found.tiles)} tiles were refused",
            remedy="mend or remove them and run again; the others are in the store",
        )


def _warn_of_evictions(found: XyzFolder, used: int, budget: int) -> None:
    room = max(0, budget - used)
    if found.total_bytes > room:
        click.echo(
            f"warning: the tiles are {in_words(found.total_bytes)}, the budget has room for {in_words(room)}; "
            "tiles that are in the store already need none, for others the least recently used go",
            err=True,
        )


def _print_report(
    report: IngestReport,
    found: XyzFolder,
    seconds: float,
    stopped_by: AerotileError | None,
    *,
    as_json: bool,
    call: tuple[Path, str, datetime],
) -> None:
    counts = {name: report.counts[name] for name in ("stored", "downgraded", "present", "refused")}
    rate = report.counts["stored"] / seconds if seconds else 0.0
    if as_json:
        folder, source, captured_at = call
        write_json(
            {
                "folder": str(folder),
                "source": source,
                "captured_at": captured_at.isoformat(),
                "found": len(found.tiles),
                **counts,
                "ignored_files": found.ignored,
                "stored_bytes": report.stored_bytes,
                "seconds": round(seconds, 3),
                "stored_per_second": round(rate, 1),
                "stopped_by": None if stopped_by is None else str(stopped_by),
                "refusals": [attrs.asdict(refusal) for refusal in report.refusals],
            }
        )
        return
    for refusal in report.refusals[:_LISTED_REFUSALS]:
        click.echo(one_line(f"refused: {refusal.file}: {refusal.message}"), err=True)
    if len(report.refusals) > _LISTED_REFUSALS:
        click.echo(
            f"refused: {len(report.refusals) - _LISTED_REFUSALS} more; --json lists them all", err=True
        )
    write_line(
        f"{len(found.tiles)} tiles found: {counts['stored']} stored ({counts['downgraded']} of them downgraded), "
        f"{counts['present']} already present, {counts['refused']} refused; "
        f"{in_words(report.stored_bytes)} in {seconds:.1f} s, {rate:.0f} tiles/s"
    )
