"""The contract of `TileUploader`, held over HTTP and in memory, with and without retries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.http.client import ProviderAddress
from aerotile.adapters.http.uploader import HttpTileUploader
from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.uploads.retrying_uploader import RetryingTileUploader
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.upload_reports import UploadReason
from aerotile.testing import (
    ManualClock,
    MemoryFlightRecorder,
    MemoryProvider,
    PendingTiles,
    TileUploaderContract,
    TileUploaderSubject,
)

LIMITS = BatchLimits(max_tiles=4)


def in_memory(tiles: PendingTiles, clock: ManualClock) -> Iterator[TileUploaderSubject]:
    provider = MemoryProvider()

    def refuse(tile_uuid: UUID) -> None:
        provider.rejections[tile_uuid] = UploadReason("refused", "never")

    uploader = PendingTileUploader(
        tiles=tiles.rows, store=tiles, ledger=tiles.ledger, link=provider, clock=clock, limits=LIMITS
    )
    yield TileUploaderSubject(uploader, tiles, clock, lambda: dict(provider.stored), refuse)


def over_http(tiles: PendingTiles, clock: ManualClock, folder: Path) -> Iterator[TileUploaderSubject]:
    with ReferenceProvider(folder, Secret("s3cr3t")) as provider:
        address = ProviderAddress(url=provider.url, token=Secret("s3cr3t"))

        def refuse(tile_uuid: UUID) -> None:
            provider.behaviour = Behaviour(refused={tile_uuid: "never"})

        with HttpTileUploader(
            address, tiles=tiles.rows, store=tiles, ledger=tiles.ledger, clock=clock, limits=LIMITS
        ) as uploader:
            yield TileUploaderSubject(uploader, tiles, clock, provider.tiles.hashes, refuse)


class TestTileUploader(TileUploaderContract):
    @pytest.fixture(params=["memory", "http"])
    def bare(
        self, request: pytest.FixtureRequest, tiles: PendingTiles, clock: ManualClock, tmp_path: Path
    ) -> Iterator[TileUploaderSubject]:
        yield from in_memory(tiles, clock) if request.param == "memory" else over_http(tiles, clock, tmp_path)

    @pytest.fixture(params=["bare", "retrying"])
    def subject(self, request: pytest.FixtureRequest, bare: TileUploaderSubject) -> TileUploaderSubject:
        if request.param == "retrying":
            bare.is_retrying = True
            bare.uploader = RetryingTileUploader(
                bare.uploader,
                attempts=bare.tiles.rows,
                budget=RetryBudget(max_per_tile_attempts=2),
                clock=bare.clock,
                recorder=MemoryFlightRecorder(),
            )
        return bare
