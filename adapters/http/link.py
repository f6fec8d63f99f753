"""`ProviderLink` over HTTP: several batches under way, each in an exchange of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future

from ...domain.ports.clock import Clock
from ...domain.values.upload_reports import BatchAnswer, UploadBatch
from ..loop_thread import LoopThread
from ..upload_protocol import BATCH_PATH
from .client import ProviderAddress, ProviderClient
from .errors import ProviderProblemError
from .protocol import batch_headers, frames, read_answers


class HttpProviderLink:
    """See `ProviderLink`. Opens nothing before the first batch; raises `ConfigurationError` then.

    A body is sent as it is made, one tile at a time, so that memory holds one tile per batch under way.
    """

    def __init__(self, address: ProviderAddress, *, connections: int, clock: Clock) -> None:
        self._address = address
        self._connections = connections
        self._clock = clock
        self._opened: tuple[LoopThread, ProviderClient] | None = None

    def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
        loop, client = self._open()
        # Reads every pixel, so not on the loop's thread, where it would delay other exchanges.
        headers = batch_headers(batch)
        answer: Future[BatchAnswer] = loop.submit(_deliver(client, batch, headers))
        return lambda: loop.result(answer)

    def close(self) -> None:
        """Cancel every exchange and close the connections; a second call does nothing."""
        if self._opened is not None:
            loop, client = self._opened
            self._opened = None
            loop.close(client.close())

    def _open(self) -> tuple[LoopThread, ProviderClient]:
        if self._opened is None:
            client = ProviderClient(self._address, connections=self._connections, now=self._clock.now)
            self._opened = LoopThread("aerotile-upload"), client
        return self._opened


async def _deliver(client: ProviderClient, batch: UploadBatch, headers: dict[str, str]) -> BatchAnswer:
    try:
        answers = await client.exchange(
            "POST",
            BATCH_PATH,
            headers=headers,
            content=_body(batch),
            read=lambda body, hidden: read_answers(body, batch, hidden),
        )
    except ProviderProblemError as error:
        return BatchAnswer(problem=error.problem)
    return BatchAnswer(answers)


async def _body(batch: UploadBatch) -> AsyncIterator[bytes]:
    for part in frames(batch):
        yield part
