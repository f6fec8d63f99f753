"""`ProviderLink`: requests to the satellite provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..values.upload_reports import BatchAnswer, UploadBatch


class ProviderLink(Protocol):
    """Sends batches to the satellite provider, several under way."""

    def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
        """Begin to send a batch; the returned call waits for the answer.

        The pixels of the batch are read until that call returns. A request that fails is a problem in the
        answer, not an error. Raises `ConfigurationError`.
        """
