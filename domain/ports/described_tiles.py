"""`DescribedTilesWriter`: where the descriptors of tiles are collected, block by block."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import attrs

from ..values.pictures import Descriptors
from ..values.tiles import TileId


@attrs.frozen(kw_only=True)
class DescribingJob:
    """What decides the descriptors of a file: a run goes on only with blocks of an equal job."""

    model: str
    """The network's name."""
    model_sha256: str
    """The network's digest."""
    providers: tuple[str, ...]
    """What onnxruntime runs the network on; another one gives other last digits."""
    headings: tuple[int, ...]
    tiles_sha256: str
    """Over the tiles in their order, each with the digest of its bytes."""
    recalls: str
    """The digest of the recall list in force; empty without one."""
    batch: int
    """Pictures in a call of the network."""


@attrs.frozen(eq=False)
class DescribedBlock:
    """The descriptors of up to `BLOCK_TILES` tiles."""

    tile_ids: tuple[TileId, ...]
    """Those that were described."""
    descriptors: Descriptors
    """For each of them one row a heading, in the order of the headings. No row when there is no tile."""
    content_sha256: tuple[str, ...]
    """For each of them the digest of the bytes that were described, 64 lower hexadecimal digits."""
    refused: tuple[tuple[TileId, str], ...]
    """Those that were not, each with its kind of reason."""


class DescribedTilesWriter(Protocol):
    """A file of descriptors that is whole or not there, and the blocks that are finished until then.

    A context manager; leaving it without `finish` keeps the blocks for a later run of the same job. One
    thread at a time. Every method raises `DescribedTilesError` and `OSError`.
    """

    def finished_blocks(self) -> frozenset[int]:
        """The numbers of the blocks that an earlier run described without a refusal."""

    def add(self, number: int, block: DescribedBlock) -> None:
        """Make a block durable."""

    def finish(self) -> tuple[int, int]:
        """Make the file of all blocks durable under its name; returns the shape of its descriptors.

        Raises `DescribedTilesError` when no tile was described, and the blocks stay.
        """

    def __enter__(self) -> DescribedTilesWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
