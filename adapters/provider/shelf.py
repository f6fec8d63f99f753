"""The provider's handling of a batch: split it, judge each tile, store the admitted ones, vote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .admission import AdmittedTile, Rejection, RejectionCode, judge_tile
from .behaviour import Behaviour
from .frames import Frame, split_frames
from .tile_folder import StoreOutcome, TileFolder
from .votes import Vote, VoteBook


class Shelf:
    """The tiles and the votes of one provider. Any number of threads may use it."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, which is made if missing. Raises `StoreUnavailableError`."""
        self.tiles = TileFolder(folder)
        try:
            self.votes = VoteBook(folder)
        except BaseException:
            self.tiles.close()
            raise

    def close(self) -> None:
        """Release the folder for another process."""
        self.tiles.close()

    def take(self, body: bytes, behaviour: Behaviour) -> list[dict[str, Any]]:
        """Store a batch durably; returns the protocol's result for each of its tiles.

        Raises `MalformedBatchError` and `TooManyTilesError` (nothing was stored), `StoreUnavailableError`.
        """
        frames = split_frames(body, behaviour.max_tiles)
        judged = [_judge(frame, behaviour) for frame in frames]
        admitted = [tile for tile in judged if isinstance(tile, AdmittedTile)]
        outcomes = self.tiles.store(admitted)
        self._vote(admitted, outcomes, behaviour)
        in_order = iter(outcomes)
        return [
            _rejected(tile) if isinstance(tile, Rejection) else _stored(tile, next(in_order))
            for tile in judged
        ]

    def _vote(
        self, tiles: Sequence[AdmittedTile], outcomes: Sequence[StoreOutcome], behaviour: Behaviour
    ) -> None:
        """Give stored tiles their vote; a duplicate gets it only if a crash prevented it before."""
        votes = []
        for tile, outcome in zip(tiles, outcomes, strict=True):
            verdict = behaviour.verdicts.get(tile.tile_uuid, behaviour.verdict)
            has_no_vote = outcome is not StoreOutcome.CONFLICT and self.votes.standing(tile.tile_uuid) is None
            if verdict is not None and has_no_vote:
                votes.append(Vote(tile.tile_uuid, verdict))
        self.votes.give(votes)


def _judge(frame: Frame, behaviour: Behaviour) -> AdmittedTile | Rejection:
    if frame.tile_uuid in behaviour.refused:
        return Rejection(frame.tile_uuid, RejectionCode.REFUSED, behaviour.refused[frame.tile_uuid])
    return judge_tile(frame)


def _rejected(rejection: Rejection) -> dict[str, Any]:
    return {
        "tile_uuid": str(rejection.tile_uuid),
        "outcome": "rejected",
        "reason": {"code": rejection.code.value, "detail": rejection.detail},
    }


def _stored(tile: AdmittedTile, outcome: StoreOutcome) -> dict[str, Any]:
    if outcome is StoreOutcome.CONFLICT:
        detail = "another content is stored under this tile_uuid"
        return _rejected(Rejection(tile.tile_uuid, RejectionCode.CONTENT_CONFLICT, detail))
    return {
        "tile_uuid": str(tile.tile_uuid),
        "outcome": outcome.value,
        "stored_sha256": tile.content_sha256,
    }
