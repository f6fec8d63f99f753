"""`facts`: what a base knows of each of its tiles, one row of fixed width a tile, ascending by tile key.

The file holds rows and nothing else; their number is the file's size by the size of a row. It is mapped, not
loaded, and its parts of 512 rows are hashed when they are first touched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...domain.values.catalogue_entries import labels_of
from ...domain.values.tile_key import VariantTable, encode_tile_key
from ...domain.values.tiles import TileMetadata
from ...domain.values.timestamps import microseconds_of

FACTS_ROW = np.dtype(
    [
        ("key", "<i8"),
        ("offset", "<u8"),  # from the begin of the archive
        ("captured_us", "<i8"),
        ("sha256", "V32"),
        ("length", "<u4"),
        ("tile_size_pixels", "<u4"),
        ("ground_sample_distance", "<f8"),
        ("horizontal_error_m", "<f8"),  # this and the next three: NaN and 0 for a tile without quality
        ("mean_reprojection_error_px", "<f8"),
        ("sharpness", "<f8"),
        ("inlier_count", "<u4"),
        ("dataset", "<u2"),  # its position in the manifest, from 1; 0: none
        ("flags", "<u2"),  # as in `domain.values.catalogue_entries`: downgraded, voting status
    ]
)
PART_ROWS = 512
PART_BYTES = PART_ROWS * FACTS_ROW.itemsize


def facts_row(row: TileMetadata, variants: VariantTable, dataset: int) -> tuple[Any, ...]:
    """A row of `FACTS_ROW`, whose offset is not known yet."""
    quality = row.quality
    errors = (
        (np.nan, np.nan, np.nan, 0)
        if quality is None
        else (
            quality.horizontal_error_m,
            quality.mean_reprojection_error_px,
            quality.sharpness,
            quality.inlier_count,
        )
    )
    return (
        encode_tile_key(row.tile_id, variants),
        0,
        microseconds_of(row.captured_at),
        bytes.fromhex(row.content_sha256),
        row.disk_bytes,
        row.tile_size_pixels,
        row.ground_sample_distance,
        *errors,
        dataset,
        labels_of(row),
    )
