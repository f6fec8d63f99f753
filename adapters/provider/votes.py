"""The provider's verdicts: `votes.jsonl`, one line for each, appended and never changed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.policies.voting import check_voting_step
from ...domain.values.tiles import VotingStatus
from ..files.regular_file import read_regular
from .errors import disk_errors

_MOST_BYTES = 1 << 30
"""Room for six million votes; nothing larger is read into memory."""
VERDICTS = (VotingStatus.TRUSTED, VotingStatus.REJECTED)


@attrs.frozen
class Vote:
    """One verdict on one tile."""

    tile_uuid: UUID
    verdict: VotingStatus = attrs.field(validator=attrs.validators.in_(VERDICTS))
    reason: str | None = None

    def facts(self) -> dict[str, str]:
        """The vote as JSON, as the protocol sends it."""
        facts = {"tile_uuid": str(self.tile_uuid), "verdict": self.verdict.value}
        return facts if self.reason is None else {**facts, "reason": self.reason}


class VoteBook:
    """Every vote, in order, for any number of threads of the one process that uses the folder."""

    def __init__(self, folder: Path) -> None:
        """Read the earlier votes. Raises `StoreUnavailableError`."""
        self._path = folder / "votes.jsonl"
        self._guard = threading.Lock()
        self._votes: list[Vote] = []
        self._standing: dict[UUID, VotingStatus] = {}
        try:
            if not self._path.is_symlink():
                self._path.touch(mode=0o640)
            text = read_regular(self._path, _MOST_BYTES)
            whole = text[: text.rfind(b"\n") + 1]
            if len(whole) < len(text):  # a crash cut the last line
                os.truncate(self._path, len(whole))
            for line in whole.splitlines():
                facts = json.loads(line)
                verdict = VotingStatus(facts["verdict"])
                self._note(Vote(UUID(facts["tile_uuid"]), verdict, facts.get("reason")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreUnavailableError(
                f"cannot read {self._path}: {error}", remedy="repair or remove that file"
            ) from error

    def standing(self, tile_uuid: UUID) -> VotingStatus | None:
        """The last verdict on a tile."""
        with self._guard:
            return self._standing.get(tile_uuid)

    def give(self, votes: Iterable[Vote]) -> None:
        """Append votes, durably; a vote that repeats the tile's verdict is left out.

        Raises `TileMetadataError` for a forbidden step, `StoreUnavailableError`; then no vote was given.
        """
        with self._guard:
            standing = dict(self._standing)
            new = []
            for vote in votes:
                before = standing.get(vote.tile_uuid)
                check_voting_step(before, vote.verdict)
                if before is not vote.verdict:
                    standing[vote.tile_uuid] = vote.verdict
                    new.append(vote)
            if new:
                self._append(new)
                for vote in new:
                    self._note(vote)

    def page(self, after: int, limit: int) -> tuple[list[Vote], int | None]:
        """At most `limit` votes after the first `after`, and the `after` of the next page if there is one."""
        with self._guard:
            votes = self._votes[after : after + limit]
            following = after + len(votes)
            return votes, following if following < len(self._votes) else None

    def _note(self, vote: Vote) -> None:
        self._votes.append(vote)
        self._standing[vote.tile_uuid] = vote.verdict

    def _append(self, votes: list[Vote]) -> None:
        lines = "".join(json.dumps(vote.facts()) + "\n" for vote in votes)
        # Unbuffered: bytes left in a buffer after a failed flush would be written at close.
        with disk_errors("write", self._path), self._path.open("ab", buffering=0) as file:
            length = file.tell()
            try:
                left = memoryview(lines.encode("ascii"))
                while left:
                    left = left[file.write(left) :]
                os.fdatasync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(length)
                raise
