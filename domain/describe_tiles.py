"""`describe_tiles`: describe the tiles of a store or a base with a network, block by block, resumable."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from .choose_tiles import ChosenTiles
from .errors import (
    ContentHashMismatchError,
    DescribedTilesError,
    DescriptorModelError,
    NoTileFileError,
    TileMetadataError,
    TileNotFoundError,
    TileRecalledError,
)
from .ports.described_tiles import DescribedBlock, DescribedTilesWriter, DescribingJob
from .ports.descriptor_model import DescriptorModel
from .values.pictures import Descriptors, Pictures, turned
from .values.tiles import TileId

BLOCK_TILES = 256
"""Tiles that become durable together: what an interruption costs at most."""
LISTED = 5
"""How many refused tiles a report names; its counts are whole."""

_COMPANY = 0.1
"""How far a row may be from that of its picture alone, as a part of what lies between two pictures' rows."""
_ALIKE, _LAST_DIGITS = 1e-6, 1e-2
"""Of a row's length: rows no further apart are those of one picture; what half precision may cost."""

_KIND_OF: dict[type[Exception], str] = {
    TileRecalledError: "recalled",
    ContentHashMismatchError: "damaged",
    TileMetadataError: "no picture",
    TileNotFoundError: "missing",
    NoTileFileError: "missing",
}


@attrs.frozen(kw_only=True)
class DescribeReport:
    """What a run described."""

    tiles: int
    descriptors: int
    dimension: int
    taken_over: int
    """Tiles among them that an earlier run had described."""
    refused: Counter[str]
    """Tiles that have no descriptor, by reason."""
    listed: tuple[tuple[TileId, str], ...]
    """The first `LISTED` of them."""


@attrs.frozen(kw_only=True)
class TileSupply:
    """Where the pictures of tiles come from."""

    read_bytes: Callable[[TileId], bytes]
    """The JPEG of a tile. Raises as `TileStore` does."""
    decode: Callable[[bytes], Pictures]
    """The picture in it, of shape (1, size, size, 3). Raises `TileMetadataError`."""


def job_of(
    chosen: ChosenTiles,
    model: DescriptorModel,
    headings: tuple[int, ...],
    *,
    providers: tuple[str, ...],
    recalls: str,
    batch: int,
) -> DescribingJob:
    """What describing these tiles with this network comes down to."""
    digest = hashlib.sha256()
    for position, tile_id in enumerate(chosen):
        digest.update(f"{tile_id} ".encode("ascii") + chosen.sha256(position))
    return DescribingJob(
        model=model.name,
        model_sha256=model.digest,
        providers=providers,
        headings=headings,
        tiles_sha256=digest.hexdigest(),
        recalls=recalls,
        batch=batch,
    )


def describe_tiles(
    chosen: ChosenTiles,
    supply: TileSupply,
    model: DescriptorModel,
    writer: DescribedTilesWriter,
    *,
    headings: tuple[int, ...],
    batch: int,
    dimension: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DescribeReport:
    """Describe the tiles in the order of their keys; the writer's file is durable when this returns.

    `dimension` is that of `tried_dimension`.
    A tile that is recalled, damaged, missing or no picture is left out and counted. Whatever else goes wrong
    ends the run, and a later one of the same job goes on behind the last block. A block with a tile that was
    left out is described anew then. Raises `DescriptorModelError`, `DescribedTilesError`,
    `StoreUnavailableError`, `BaseUnavailableError`, `OSError`.
    """
    refused: list[tuple[TileId, str]] = []
    taken_over = 0
    with writer:
        finished = writer.finished_blocks()
        for number, start in enumerate(range(0, len(chosen), BLOCK_TILES)):
            positions = range(start, min(start + BLOCK_TILES, len(chosen)))
            if number in finished:
                taken_over += len(positions)
            else:
                block = describe_block(
                    chosen, positions, supply, model, headings=headings, batch=batch, dimension=dimension
                )
                writer.add(number, block)
                refused += block.refused
            progress(positions.stop, len(chosen))
        if refused and len(refused) == len(chosen):
            kinds = Counter(kind for _, kind in refused).items()
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
            raise DescribedTilesError(
                f"no tile could be described: {counts}, such as {refused[0][0]}",
                remedy="bring those tiles again (aerotile verify names damaged ones)",
            )
        descriptors, dimension = writer.finish()
    return DescribeReport(
        tiles=len(chosen) - len(refused),
        descriptors=descriptors,
        dimension=dimension,
        taken_over=taken_over,
        refused=Counter(kind for _, kind in refused),
        listed=tuple(refused[:LISTED]),
    )


def describe_block(
    chosen: ChosenTiles,
    positions: Sequence[int],
    supply: TileSupply,
    model: DescriptorModel,
    *,
    headings: tuple[int, ...],
    batch: int,
    dimension: int,
) -> DescribedBlock:
    """Describe the tiles at some positions; the same positions, in calls of the same size, each time.

    Raises `DescriptorModelError`, also for a descriptor of another length than `dimension`.
    """
    described: list[TileId] = []
    digests: list[str] = []
    waiting: list[Pictures] = []
    parts: list[Descriptors] = []
    refused: list[tuple[TileId, str]] = []
    for position in positions:
        tile_id = chosen.tile_id(position)
        try:
            waiting.append(_picture(tile_id, chosen.sha256(position), supply))
        except tuple(_KIND_OF) as error:
            refused.append((tile_id, next(kind for of, kind in _KIND_OF.items() if isinstance(error, of))))
        else:
            described.append(tile_id)
            digests.append(chosen.sha256(position).hex())
        if len(waiting) == batch or (waiting and position == positions[-1]):
            parts.append(_described_at(np.concatenate(waiting), model, headings))
            _check_length(model, parts[-1], dimension)
            waiting.clear()
    rows = np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)
    return DescribedBlock(tuple(described), rows, tuple(digests), tuple(refused))


def _picture(tile_id: TileId, sha256: bytes, supply: TileSupply) -> Pictures:
    pixels = supply.read_bytes(tile_id)
    actual = hashlib.sha256(pixels).digest()
    if actual != sha256:
        raise ContentHashMismatchError("SHA-256", expected=sha256.hex(), actual=actual.hex(), tile_id=tile_id)
    return supply.decode(pixels)


def tried_dimension(model: DescriptorModel, side: int) -> int:
    """How many numbers a descriptor has, by describing two pictures of this width together and one alone.

    Raises `DescriptorModelError`, also where both pictures get the same descriptor, and where a descriptor
    depends on the pictures beside its own: a camera frame is described alone.
    """
    pictures: Pictures = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    pictures[1] = pictures[1, :, :1]  # stripes: as unlike noise as a picture with edges can be
    together, alone = _described_at(pictures, model, (0,)), _described_at(pictures[:1], model, (0,))
    _check_length(model, alone, together.shape[1])
    length, apart = float(np.linalg.norm(together[0])), float(np.linalg.norm(together[0] - together[1]))
    if apart <= _ALIKE * length:
        raise DescriptorModelError(
            f"{model.name} describes two different pictures alike, so that no search could tell tiles apart",
            remedy="correct the network or its preprocessing",
        )
    if float(np.linalg.norm(alone[0] - together[0])) > max(_COMPANY * apart, _LAST_DIGITS * length):
        raise DescriptorModelError(
            f"{model.name} describes a picture otherwise when another one is beside it, "
            "so that no camera frame would find its tile",
            remedy="save the network for inference: one that normalises over the pictures of a call won't do",
        )
    return int(together.shape[1])


def _check_length(model: DescriptorModel, rows: Descriptors, dimension: int) -> None:
    if rows.shape[1] != dimension:
        raise DescriptorModelError(
            f"{model.name} answers with {rows.shape[1]} numbers a picture, and with {dimension} before",
            remedy="correct the network: one row a picture, of one length",
        )


def _described_at(pictures: Pictures, model: DescriptorModel, headings: tuple[int, ...]) -> Descriptors:
    """The rows of these pictures, those of one picture together. Raises `DescriptorModelError`."""
    try:
        by_heading = [model.describe(turned(pictures, heading)) for heading in headings]
    except ValueError as error:
        raise DescriptorModelError(
            f"{model.name} can't describe such tiles: {error}", remedy="describe with another network"
        ) from error
    if len({rows.shape for rows in by_heading}) != 1 or len(by_heading[0]) != len(pictures):
        raise DescriptorModelError(
            f"{model.name} answers {len(pictures)} pictures with arrays of shape "
            f"{', '.join(str(rows.shape) for rows in by_heading)}",
            remedy="correct the network: one row a picture, of one length",
        )
    return np.stack(by_heading, axis=1).reshape(-1, by_heading[0].shape[1])
