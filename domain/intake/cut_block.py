"""`cut_block`: the tiles of one block of a mosaic, through every gate of an intake, without a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

import attrs

from ..errors import TileCacheError
from ..policies.jpeg import JpegWalk
from ..ports.imagery_source import TilePlace
from ..ports.picture_decoder import PictureDecoder
from ..values.tiles import TileMetadata
from .gates import check_decoded, read_offered_tile
from .mosaic import Mosaic, MosaicBlock
from .provision import ProvisionReport, offered_tiles
from .report import IntakeReport, Refusal
from .terms import ProvisionTerms


@attrs.frozen(eq=False)
class CutTiles:
    """What a block of a mosaic came to."""

    tiles: tuple[tuple[bytes, TileMetadata], ...]
    """The JPEG bytes and the facts of each tile."""
    counts: Counter[str]
    """Places of the block by how they ended, in words; those of `tiles` are `verbatim` or `encoded ...`."""
    refusals: tuple[Refusal, ...]
    """Places where a source has imagery that is no tile, each with its reason."""


def cut_block(
    mosaic: Mosaic,
    block: MosaicBlock,
    terms: ProvisionTerms,
    *,
    tile_size_pixels: int,
    walk_jpeg: Callable[[bytes], JpegWalk],
    decoder: PictureDecoder,
) -> CutTiles:
    """Read the places of a block; each tile passes the gates of an intake, but for those of a store.

    Freshness is not judged: a build's bytes must not follow from the clock. A base judges each tile when it
    is read. `terms.captured_at` is one date, or None for that of the sources. Raises `ImagerySourceError`.
    """
    report = ProvisionReport(IntakeReport())
    read = list(mosaic.read(block))
    made_of = {one.place: one.tile.encoded_from for one in read if one.tile is not None}
    tiles, counts = [], Counter[str]()
    for tile in offered_tiles(read, mosaic, terms, report):
        captured_at = terms.captured_at if isinstance(terms.captured_at, datetime) else tile.captured_at
        if captured_at is None:
            report.intake.add_undated(tile)
            continue
        try:
            pixels, metadata = read_offered_tile(
                tile, captured_at, terms, tile_size_pixels=tile_size_pixels, walk_jpeg=walk_jpeg
            )
            check_decoded(decoder.decode(pixels), metadata.tile_id)
        except (ValueError, TileCacheError) as error:
            report.intake.add_refused(tile, error, terms.source)
        else:
            tiles.append((pixels, metadata))
            kind = made_of[TilePlace(tile.zoom_level, tile.x, tile.y)]
            counts["verbatim" if kind is None else f"encoded from a {kind}"] += 1
    counts |= {
        "left out: a part of them shows no ground": report.partial,
        "taken although a part of them shows no ground": report.partial_taken,
        "left out: they show no ground": report.empty,
        "left out: no capture date is known": report.intake.undated,
        "refused": report.intake.refused,
    }
    return CutTiles(tuple(tiles), +counts, tuple(report.intake.refusals))
