"""The answer to an INSERT that is under way, and the COMMIT that is sent behind it, both without the GIL."""

from collections.abc import Sequence
from typing import final

@final
class Libpq:
    """The functions of libpq that send a COMMIT, and those that take the rows of a COPY."""

    def __init__(
        self,
        consume_input: int,
        send_query_prepared: int,
        send_query_params: int,
        pipeline_sync: int,
        get_copy_data: int,
        freemem: int,
    ) -> None: ...

@final
class AwaitedInsert:
    """One INSERT whose answer arrives on `socket`, and the COMMIT behind it, for `GatedWrite.prewrite`."""

    def __init__(self, socket: int) -> None: ...
    @property
    def is_committing(self) -> bool:
        """Whether the COMMIT may have reached the server."""

    @property
    def is_sent(self) -> bool:
        """Whether all of it was sent, so that its answer will come."""

    def commit_by(
        self, libpq: Libpq, connection: int, statement: bytes, values: Sequence[bytes | None]
    ) -> None:
        """Where the row is inserted and its file durable, run `statement`, then COMMIT, in one go."""
