"""The provider's votes over HTTP."""

from __future__ import annotations

from ...domain.ports.clock import Clock
from ...domain.uploads.pull_votes import ProviderVote, VotesPage
from ..loop_thread import LoopThread
from ..upload_protocol import VOTES_PATH
from .client import ProviderAddress, ProviderClient
from .errors import ProviderProblemError
from .protocol import read_votes

VOTES_PER_PAGE = 100
"""As many votes with the longest reasons, every character escaped, fit into the default limit of 1 MiB."""


class HttpVoteSource:
    """See `VoteSource`. Raises `ConfigurationError` when the provider's address can't be used."""

    def __init__(self, address: ProviderAddress, *, clock: Clock) -> None:
        self._client = ProviderClient(address, connections=1, now=clock.now)
        self._loop = LoopThread("aerotile-votes")

    def read_page(self, after: str | None) -> VotesPage:
        parameters = {"limit": str(VOTES_PER_PAGE)} | ({} if after is None else {"after": after})
        try:
            votes, cursor = self._loop.submit(
                self._client.exchange("GET", VOTES_PATH, parameters=parameters, read=read_votes)
            ).result()
        except ProviderProblemError as error:
            return VotesPage(problem=error.problem)
        return VotesPage(tuple(ProviderVote(*vote) for vote in votes), cursor)

    def __enter__(self) -> HttpVoteSource:
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.close(self._client.close())
