"""`aerotile dump`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ..arguments import box, zoom
from ..command import command
from ..output import write_json_line, write_line
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.tile_grid import Bbox
    from ....domain.values.tiles import TileMetadataPersistent
    from ...composition import Runtime


_COLUMNS = (
    "tile",
    "source",
    "flight_id",
    "zoom_level",
    "x",
    "y",
    "tile_uuid",
    "location_hash",
    "captured_at",
    "content_sha256",
    "disk_bytes",
    "tile_size_pixels",
    "ground_sample_distance",
    "freshness_label",
    "voting_status",
    "horizontal_error_m",
    "inlier_count",
    "mean_reprojection_error_px",
    "sharpness",
    "created_at",
    "accessed_at",
    "uploaded_at",
    "upload_attempts",
    "pinned",
    "dataset",
)
"""The keys of `_tile_facts`, in its order. Keys are only ever added, at the end."""


@command("aerotile dump --zoom 16", "aerotile dump --bbox 11.4,48.0,11.8,48.3 --csv > tiles.csv")
@click.option(
    "--bbox",
    type=box,
    metavar="BOX",
    help="Only tiles that touch MIN_LON,MIN_LAT,MAX_LON,MAX_LAT, in degrees.",
)
@click.option("--zoom", "zooms", type=zoom, multiple=True, help="Only this zoom; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines; the default.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
@click.pass_obj
def dump(session: Session, bbox: Bbox | None, zooms: tuple[int, ...], as_json: bool, as_csv: bool) -> None:
    """Print the stored tiles' metadata, one tile per line."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with session.existing_runtime() as runtime:
        if as_csv:
            write_line(_csv_line(_COLUMNS))
        for row in _rows(runtime, bbox, zooms):
            facts = _tile_facts(row)
            if as_csv:
                write_line(_csv_line(facts.values()))
            else:
                write_json_line(facts)


def _rows(runtime: Runtime, bbox: Bbox | None, zooms: tuple[int, ...]) -> Iterator[TileMetadataPersistent]:
    from ....domain.values.tile_grid import MAX_ZOOM

    if bbox is None:
        yield from (row for row in runtime.rows.committed() if not zooms or row.tile_id.zoom_level in zooms)
        return
    for zoom_level in sorted(set(zooms)) or range(MAX_ZOOM + 1):
        yield from runtime.metadata_store.query_by_bbox(bbox, zoom_level)


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _tile_facts(row: TileMetadataPersistent) -> dict[str, Any]:
    """Every fact of a row; distances in metres, times in UTC."""
    tile_id, quality = row.tile_id, row.quality
    values = (
        str(tile_id),
        tile_id.source.value,
        None if tile_id.flight_id is None else str(tile_id.flight_id),
        tile_id.zoom_level,
        tile_id.x,
        tile_id.y,
        str(row.tile_uuid),
        str(tile_id.location_hash),
        _moment(row.captured_at),
        row.content_sha256,
        row.disk_bytes,
        row.tile_size_pixels,
        row.ground_sample_distance,
        row.freshness_label.value,
        None if row.voting_status is None else row.voting_status.value,
        None if quality is None else quality.horizontal_error_m,
        None if quality is None else quality.inlier_count,
        None if quality is None else quality.mean_reprojection_error_px,
        None if quality is None else quality.sharpness,
        _moment(row.created_at),
        _moment(row.accessed_at),
        _moment(row.uploaded_at),
        row.upload_attempts,
        row.pinned,
        row.dataset,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
