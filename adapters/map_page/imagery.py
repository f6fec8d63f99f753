"""Tiles as pictures: XYZ with TileJSON, and the archive of the base by ranges of bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ...domain.errors import TileNotFoundError, TileRecalledError
from ...domain.ports.tile_store import ReadableTiles
from ...domain.values.catalogue_entries import CatalogueEntry
from ...domain.values.coverage_cells import cells_of, count_by_zoom
from ...domain.values.inventory import Places
from ...domain.values.tile_grid import Bbox, tile_bbox
from ...domain.values.tiles import TileId
from .answers import REVALIDATED, RefusedError, json_response
from .byte_ranges import UnsatisfiableRangeError, chosen_bytes, names_one_of
from .parameters import place_of
from .supply import ArchiveOfABase, MapSupply

_CHUNK_BYTES = 1 << 20
_BOUNDS_CELLS = 65_536


def entries_at(tiles: ReadableTiles, place: TileId) -> list[CatalogueEntry]:
    """The tiles of every source at one place of the grid, the newest capture first."""
    found = tiles.query_by_bbox(Bbox.of_place(*place.centre), place.zoom_level)
    return sorted(found, key=lambda entry: entry.captured_at, reverse=True)


def tile_picture(supply: MapSupply, request: Request) -> Response:
    """The tile of a place that was captured last; 204 where there is none."""
    missing = Response(status_code=204, headers=REVALIDATED)
    entry = next(iter(entries_at(supply.tiles, place_of(request))), None)
    if entry is None:
        return missing
    etag = f'"{entry.content_sha256}"'
    headers = {**REVALIDATED, "ETag": etag}
    if names_one_of(request.headers.get("If-None-Match", ""), etag):
        return Response(status_code=304, headers=headers)
    try:
        pixels = supply.tiles.read_tile_bytes(entry.tile_id)
    except (TileNotFoundError, TileRecalledError):  # evicted, or recalled, meanwhile
        return missing
    return Response(pixels, 200, headers, "image/jpeg")


def tile_json(supply: MapSupply, request: Request) -> Response:
    """TileJSON 3.0.0 of all layers together."""
    places = supply.places()
    zooms = sorted(count_by_zoom(places))
    facts: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": "Aerotile",
        "scheme": "xyz",
        "tiles": [f"{request.base_url}tiles/{{z}}/{{x}}/{{y}}.jpg"],
    }
    if zooms:
        box = _bounds(places, zooms[-1])
        bounds = [box.min_lon, box.min_lat, box.max_lon, box.max_lat]
        facts |= {"minzoom": zooms[0], "maxzoom": zooms[-1], "bounds": bounds}
    if attributions := supply.all_attributions():
        facts["attribution"] = "; ".join(attributions)
    return json_response(facts)


def _bounds(places: Places, zoom: int) -> Bbox:
    """A box around all tiles of a zoom, to the cells that the tiles are counted in."""
    cells = cells_of(places, zoom, finest=zoom, most=_BOUNDS_CELLS)
    west, east = int(cells.x.min()), int(cells.x.max())
    north, south = int(cells.y.min()), int(cells.y.max())
    first, last = tile_bbox(west, north, cells.cell_zoom), tile_bbox(east, south, cells.cell_zoom)
    return Bbox(last.min_lat, first.min_lon, first.max_lat, last.max_lon)


def archive_answer(archive: ArchiveOfABase, request: Request) -> tuple[Response, Iterator[bytes]]:
    """The head of the answer to a request for the archive, and its body chunk by chunk."""
    etag = f'"{archive.digest}"'
    headers = {**REVALIDATED, "ETag": etag, "Accept-Ranges": "bytes"}
    if names_one_of(request.headers.get("If-None-Match", ""), etag):
        return Response(status_code=304, headers=headers), iter(())
    wanted = request.headers.get("Range") if request.method == "GET" else None
    if request.headers.get("If-Range", etag) != etag:
        wanted = None  # the client has a part of another archive
    try:
        part = chosen_bytes(wanted, archive.size)
    except UnsatisfiableRangeError:
        raise RefusedError(
            416,
            f"the archive has {archive.size} bytes, and none of them is in the range that was asked for",
            {**headers, "Content-Range": f"bytes */{archive.size}"},
        ) from None
    begin, end = (0, archive.size) if part is None else part
    if part is not None:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{archive.size}"
    headers["Content-Length"] = str(end - begin)
    headers["Content-Type"] = "application/vnd.pmtiles"
    body = () if request.method == "HEAD" else _chunks(archive, begin, end)
    return Response(status_code=200 if part is None else 206, headers=headers), iter(body)


def _chunks(archive: ArchiveOfABase, begin: int, end: int) -> Iterator[bytes]:
    for start in range(begin, end, _CHUNK_BYTES):
        yield archive.read(start, min(end, start + _CHUNK_BYTES))


async def stream_archive(
    archive: ArchiveOfABase, request: Request, off_loop: Callable[..., Awaitable[Any]]
) -> Response:
    """The answer, of which one chunk at a time is in memory; `off_loop` runs what waits for the disk.

    A part that is damaged gives 503 where it is the first, and otherwise ends the connection too early.
    """
    head, chunks = archive_answer(archive, request)
    first = await off_loop(next, chunks, None)
    if first is None:
        return head

    async def body() -> Any:
        chunk = first
        while chunk is not None:
            yield chunk
            chunk = await off_loop(next, chunks, None)

    return StreamingResponse(body(), head.status_code, dict(head.headers))
