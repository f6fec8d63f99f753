"""`TileUploader` over HTTP."""

from __future__ import annotations

from ...domain.policies.upload_batching import BatchLimits
from ...domain.ports.clock import Clock
from ...domain.ports.upload_ledger import UploadLedger
from ...domain.uploads.upload_pending import PendingTiles, PendingTileUploader, PixelSource
from .client import ProviderAddress
from .link import HttpProviderLink


class HttpTileUploader(PendingTileUploader):
    """Uploads pending tiles to a provider that implements docs/openapi.yaml."""

    def __init__(
        self,
        address: ProviderAddress,
        *,
        tiles: PendingTiles,
        store: PixelSource,
        ledger: UploadLedger,
        clock: Clock,
        limits: BatchLimits | None = None,
        parallel: int = 2,
    ) -> None:
        """With several requests in `parallel` the link is not idle while one of them waits for its answer."""
        self._http = HttpProviderLink(address, connections=parallel, clock=clock)
        super().__init__(
            tiles=tiles,
            store=store,
            ledger=ledger,
            link=self._http,
            clock=clock,
            limits=limits,
            parallel=parallel,
        )

    def close(self) -> None:
        """Cancel every exchange and close the connections; a second call does nothing."""
        self._http.close()

    def __enter__(self) -> HttpTileUploader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
