"""The upload of a runtime: provider, uploader, votes, the queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ...domain.errors import ConfigurationError
from ...domain.policies.upload_batching import BatchLimits
from ...domain.policies.upload_retry import RetryBudget
from ...domain.ports.clock import Clock
from ...domain.ports.uploader import TileUploader
from ...domain.uploads.pull_votes import PulledVotes, pull_votes
from ...domain.uploads.requeue import RequeuedTile, given_up_tiles, requeue
from ...domain.uploads.retrying_uploader import RetryingTileUploader
from ...domain.values.tiles import TileId
from ..config.settings import AerotileConfig
from ..config.upload_token import read_upload_token

if TYPE_CHECKING:
    from ..http.client import ProviderAddress


from .store_parts import StoreParts


class UploadParts(StoreParts):
    """What carries the aircraft's own tiles to the provider."""

    def __init__(self, config: AerotileConfig, *, keep_database_running: bool = True) -> None:
        """See `DatabaseParts`."""
        super().__init__(config, keep_database_running=keep_database_running)
        self._uploaders: dict[int, TileUploader] = {}

    @cached_property
    def provider_address(self) -> ProviderAddress:
        """Where the provider is. Raises `ConfigurationError` when the configuration does not say."""
        from ..http.client import ProviderAddress

        settings = self.config.upload
        if settings.url is None:
            raise ConfigurationError(
                "upload.url is not set, so there is no provider to upload to",
                remedy="set url under [upload] in aerotile.toml, or AEROTILE_UPLOAD_URL",
            )
        return ProviderAddress(
            url=settings.url,
            token=read_upload_token(settings),
            ca_file=settings.ca_file,
            trust_env=settings.trust_env,
            connect_timeout_s=settings.connect_timeout_s,
            request_timeout_s=settings.request_timeout_s,
            max_response_bytes=settings.max_response_bytes,
        )

    def requeue_uploads(self, tile_ids: Sequence[TileId] | None = None) -> list[RequeuedTile]:
        """Give the tiles another life in the upload queue, or every tile that is given up; see `requeue`."""
        queue = self.upload_ledger
        chosen = given_up_tiles(queue) if tile_ids is None else tile_ids
        return requeue(chosen, queue=queue, clock=self.clock, recorder=self.recorder)

    def pull_votes(self) -> PulledVotes:
        """Read the provider's new verdicts and move our votes by them; see `pull_votes`."""
        from ..http.votes import HttpVoteSource

        address = self.provider_address
        with HttpVoteSource(address, clock=self.clock) as source:
            return pull_votes(
                address.url,
                source=source,
                cursor=self.upload_ledger,
                votes=self.metadata_store,
                clock=self.clock,
            )

    def tile_uploader(self, clock: Clock | None = None) -> TileUploader:
        """The uploader, with its retries unless `upload.disable_retry_decorator`; one for each clock."""
        with self._lock:
            key = id(self.clock if clock is None else clock)
            if key not in self._uploaders:
                self._uploaders[key] = self._new_tile_uploader(self.clock if clock is None else clock)
            return self._uploaders[key]

    def _new_tile_uploader(self, clock: Clock) -> TileUploader:
        from ..http.uploader import HttpTileUploader

        settings = self.config.upload
        bare = HttpTileUploader(
            self.provider_address,
            tiles=self.metadata_store,
            store=self.store_in_use,
            ledger=self.upload_ledger,
            clock=clock,
            limits=BatchLimits(max_bytes=settings.max_batch_bytes, max_tiles=settings.max_batch_tiles),
            parallel=settings.parallel_requests,
        )
        self._closing(bare, bare.close)
        if settings.disable_retry_decorator:
            return bare
        return RetryingTileUploader(
            bare,
            attempts=self.metadata_store,
            budget=RetryBudget(
                max_in_call_retries=settings.max_in_call_retries,
                max_per_tile_attempts=settings.max_per_tile_attempts,
                backoff_base_s=settings.backoff_base_s,
                backoff_cap_s=settings.backoff_cap_s,
            ),
            clock=clock,
            recorder=self.recorder,
        )
