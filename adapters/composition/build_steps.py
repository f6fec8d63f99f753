"""The steps of a build, as functions of one block that any process may run: paths and digests travel.

A job is what all blocks of a step share. It is pickled with each task, so it is small, and the sources and
the network that it names are opened once in each thread.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import attrs
import numpy as np

from ...domain.build_blocks import ALIKE, BlockFile, BlockOutcome, ShardTask
from ...domain.choose_tiles import ChosenTiles
from ...domain.describe_tiles import TileSupply, describe_block
from ...domain.errors import BaseSealError
from ...domain.intake.cut_block import cut_block
from ...domain.intake.mosaic import Mosaic, MosaicBlock
from ...domain.intake.report import Refusal
from ...domain.intake.terms import ProvisionTerms
from ...domain.policies.jpeg import JpegWalk
from ...domain.values.catalogue_entries import CatalogueColumns
from ...domain.values.descriptors import VectorStorage
from ...domain.values.tile_key import VariantTable, decode_tile_key
from ...domain.values.tiles import TileId
from ..build_files.block_file import open_block, write_block
from ..build_files.cut_tiles import encode_tiles, tile_bytes
from ..build_files.shards import shard_arrays, tells_tiles_apart
from ..build_files.work_folder import finished, identity_of, outcome_of, place_of
from ..config.settings import DescriptorConfig
from .imagery_parts import open_imagery_source, tile_picture_codec
from .source_files import SourceFile

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class CutJob:
    """What all blocks of a cut share."""

    identity: str
    """Of all that decides the tiles: sources, terms, environment."""
    work: str
    sources: tuple[SourceFile, ...]
    beside: tuple[SourceFile, ...]
    """Files beside GeoTIFFs that are read with them."""
    tile_size: int
    scheme: str | None
    enlarge_to: int | None
    captured_at: datetime | None
    dataset: str | None
    take_partial: bool
    threads: int | None
    """Of one process; None: one a core. Decides no byte."""


@attrs.frozen(kw_only=True)
class DescribeJob:
    """What all blocks of a description share."""

    identity: str
    work: str
    settings: DescriptorConfig
    digest: str
    """Of the network."""
    headings: tuple[int, ...]
    batch: int
    dimension: int
    """Of a descriptor."""
    tile_size: int
    storage: VectorStorage


@attrs.frozen(kw_only=True)
class OrderJob:
    """What all shards share."""

    work: str
    storage: VectorStorage


def cut(job: CutJob, block: MosaicBlock) -> BlockOutcome:
    """Cut the tiles of a block into a file. Raises `ImagerySourceError`, `BaseSealError`, `OSError`."""
    from ...ext import walk_jpeg
    from ..simplejpeg.picture_decoder import SimplejpegDecoder

    places = [f"{place} {' '.join(map(str, numbers))}" for place, numbers in block.places.items()]
    path = place_of(job.work, "tiles", identity_of([job.identity, places]))
    if (before := finished(path)) is not None:
        keys = before.array("rows")["key"]
        return outcome_of(path, before.digest, before.facts, keys, taken_over=True)
    cut_tiles = cut_block(
        _opened(job.identity, lambda stack: _open_sources(job, stack)),
        block,
        ProvisionTerms(captured_at=job.captured_at, dataset=job.dataset, take_partial=job.take_partial),
        tile_size_pixels=job.tile_size,
        walk_jpeg=lambda pixels: JpegWalk.of(walk_jpeg(pixels)),
        decoder=SimplejpegDecoder(),
    )
    facts, arrays = encode_tiles(cut_tiles)
    # A folder was compared when it was opened, and compares each file that it reads.
    _refuse_changed([one for one in (*job.sources, *job.beside) if not one.is_folder])
    digest = write_block(path, facts, arrays)
    return outcome_of(path, digest, facts, arrays["rows"]["key"], taken_over=False)


def describe(job: DescribeJob, tiles: BlockFile) -> BlockOutcome:
    """Describe the tiles of a block into a file; each is hashed.

    Raises `DescriptorModelError`, `BaseSealError`, `OSError`, and `IndexBuildError` for descriptors that an
    index can't store.
    """
    from ..descriptor_arrays import check_components
    from ..simplejpeg.pictures import decode_tile_picture
    from .build_environment import multiply_by_one_thread

    path = place_of(job.work, "descriptors", identity_of([job.identity, tiles.digest]))
    if (before := finished(path)) is not None:
        keys = before.array("keys")
        # The build that left the file may have been for another storage.
        described_ids = [decode_tile_key(key, VariantTable()) for key in keys.tolist()]
        check_components(described_ids, before.array("vectors"), job.storage)
        return outcome_of(path, before.digest, before.facts, keys, taken_over=True)
    block = open_block(Path(tiles.path), tiles.digest)
    rows = block.array("rows")
    by_id = {decode_tile_key(int(row["key"]), VariantTable()): row for row in rows}
    supply = TileSupply(
        read_bytes=lambda tile_id: tile_bytes(block, by_id[tile_id]),
        decode=lambda pixels: decode_tile_picture(pixels, job.tile_size),
    )
    model = _opened(job.identity, lambda stack: _open_model(job))
    multiply_by_one_thread()
    described = describe_block(
        ChosenTiles(CatalogueColumns.of_table(rows), VariantTable(), Counter()),
        range(len(rows)),
        supply,
        model,
        headings=job.headings,
        batch=job.batch,
        dimension=job.dimension,
    )
    tile_ids = [tile_id for tile_id in described.tile_ids for _ in job.headings]
    check_components(tile_ids, described.descriptors, job.storage)
    keys = np.array([int(by_id[tile_id]["key"]) for tile_id in tile_ids], np.int64)
    refusals = [attrs.asdict(_refusal(tile_id, kind)) for tile_id, kind in described.refused]
    facts: dict[str, Any] = {
        "counts": {"described": len(described.tile_ids), "refused": len(refusals)},
        "refusals": refusals,
    }
    digest = write_block(path, facts, {"keys": keys, "vectors": described.descriptors})
    return outcome_of(path, digest, facts, keys, taken_over=False)


def order(job: OrderJob, task: ShardTask) -> BlockOutcome:
    """Write the descriptors of a shard as an index stores them. Raises `BaseSealError`, `OSError`."""
    runs = [[file.digest, run.start, run.stop] for file, run in task.runs]
    path = place_of(job.work, "shards", identity_of([job.storage.value, runs]))
    if (before := finished(path)) is not None:
        return outcome_of(path, before.digest, before.facts, before.array("keys"), taken_over=True)
    arrays = shard_arrays(task, job.storage)
    counts = {} if tells_tiles_apart(arrays) else {ALIKE: 1}
    facts: dict[str, Any] = {"counts": counts, "refusals": []}
    digest = write_block(path, facts, arrays)
    return outcome_of(path, digest, facts, arrays["keys"], taken_over=False)


class _OpenedHere(threading.local):
    """What this thread opened last: sources of a cut are used by one thread at a time."""

    def __init__(self) -> None:
        self.identity: str | None = None
        self.opened: Any = None
        self.stack = ExitStack()


_here = _OpenedHere()


def close_opened() -> None:
    """Close what this thread has open."""
    _here.stack.close()
    _here.identity = _here.opened = None


def _opened(identity: str, open_it: Callable[[ExitStack], T]) -> T:
    if _here.identity != identity:
        close_opened()
        _here.opened = open_it(_here.stack)
        _here.identity = identity
    opened: T = _here.opened
    return opened


def _open_sources(job: CutJob, stack: ExitStack) -> Mosaic:
    _refuse_changed((*job.sources, *job.beside))
    sources = [
        stack.enter_context(
            open_imagery_source(
                source.name,
                tile_size=job.tile_size,
                scheme=job.scheme,
                enlarge_to=job.enlarge_to,
                threads=job.threads,
            )
        )
        for source in job.sources
    ]
    return Mosaic(sources=sources, zooms=(), codec=tile_picture_codec(job.tile_size))


def _refuse_changed(files: Iterable[SourceFile]) -> None:
    for source in files:
        if not source.is_unchanged():
            what = "folder" if source.is_folder else "file"
            among = ", in one of its files" if source.is_folder else ""
            raise BaseSealError(
                f"{source.name} is not the {what} that the build began with: another size or date{among}",
                remedy=f"share one {what} by all machines, and don't change it during a build",
            )


def _open_model(job: DescribeJob) -> Any:
    from .model_parts import open_descriptor_model

    model = open_descriptor_model(job.settings, threads=1)
    if model.digest != job.digest:
        raise BaseSealError(
            f"{model.name} is not the network that the build began with",
            remedy="install the same network on all machines",
        )
    return model


def _refusal(tile_id: TileId, kind: str) -> Refusal:
    return Refusal(str(tile_id), str(tile_id), "DescribedTilesError", f"it is {kind}", None)
