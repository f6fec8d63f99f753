"""One pass over the pending tiles: which go into the next request, and what an answer means for the rest.

An unanswered request does not tell which of its tiles is to blame, if any. So all other tiles are sent before
its tiles, which then travel in groups of half the size, down to one; a tile that fails alone is passed over.
Thereby a tile that breaks each of its requests costs the others a bounded number of requests.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..values.tiles import TileId, TileMetadataPersistent
from ..values.upload_reports import FRAME_ALLOWANCE_BYTES, ProblemKind, UploadProblem
from ..values.validators import is_whole, plain_numbers

MOST_UNANSWERED = 3
"""After so many unanswered requests in a row the provider is to blame, not a tile. Halving a group with one
bad tile in it fails at most twice in a row, because the other half goes through."""


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class BatchLimits:
    """The most that one request carries. Raises `ValueError` with the offending value."""

    max_bytes: int = 4 << 20
    max_tiles: int = 256

    def __attrs_post_init__(self) -> None:
        for name in ("max_bytes", "max_tiles"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of 1 or more, got {value!r}")

    def halved(self, tiles: Sequence[TileMetadataPersistent]) -> BatchLimits:
        """Limits that half of a refused batch keeps; never wider than these."""
        return BatchLimits(
            max_bytes=min(self.max_bytes, sum(map(_frame_bytes, tiles)) // 2),
            max_tiles=min(self.max_tiles, max(1, len(tiles) // 2)),
        )


@attrs.frozen(kw_only=True)
class Suspicions:
    """What unanswered requests have taught; kept from pass to pass."""

    limits: BatchLimits
    group_sizes: dict[TileId, int] = attrs.field(factory=dict)
    """Of each tile that was in an unanswered request, how many tiles its next request may carry."""


def choose_batch(
    candidates: Sequence[TileMetadataPersistent], suspicions: Suspicions
) -> tuple[TileMetadataPersistent, ...]:
    """The tiles of the next request, oldest first: unsuspected ones, else the least suspected.

    Never more than the limits allow, but always at least one when there is a candidate.
    """
    sizes = suspicions.group_sizes
    limits = suspicions.limits
    eligible = [tile for tile in candidates if tile.tile_id not in sizes]
    most = limits.max_tiles
    if not eligible and candidates:
        widest = max(sizes[tile.tile_id] for tile in candidates)
        eligible = [tile for tile in candidates if sizes[tile.tile_id] == widest]
        most = min(most, widest)
    body_bytes = 0
    for count, tile in enumerate(eligible[:most]):
        body_bytes += _frame_bytes(tile)
        if count and body_bytes > limits.max_bytes:
            return tuple(eligible[:count])
    return tuple(eligible[:most])


@attrs.frozen
class AfterProblem:
    """What follows an unanswered request."""

    suspicions: Suspicions
    passed_over: bool
    """Whether the tiles of the request are not tried again in this pass."""
    rejects: bool
    """Whether the problem is the provider's answer about the request's one tile."""
    ends_pass: bool


def decide_after_problem(
    suspicions: Suspicions,
    tiles: Sequence[TileMetadataPersistent],
    problem: UploadProblem,
    *,
    unanswered_before: int,
    answered_before: bool,
) -> AfterProblem:
    """What follows an unanswered request.

    `unanswered_before`: unanswered requests in a row before this one; `answered_before`: whether the provider
    judged any tile in this pass, so that a fault over a lone tile is the tile's.
    """
    kind = problem.kind
    alone = len(tiles) == 1
    until_later = problem.retry_after_s is not None
    if kind.ends_the_pass:
        return AfterProblem(suspicions, passed_over=True, rejects=False, ends_pass=True)
    if kind is ProblemKind.TOO_LARGE:
        # Every such answer makes the batches smaller, so the request counts as answered.
        if not alone:
            suspicions = attrs.evolve(suspicions, limits=suspicions.limits.halved(tiles))
        return AfterProblem(
            suspicions, passed_over=alone, rejects=alone and not until_later, ends_pass=until_later
        )
    groups = dict.fromkeys((tile.tile_id for tile in tiles), max(1, len(tiles) // 2))
    return AfterProblem(
        attrs.evolve(suspicions, group_sizes={**suspicions.group_sizes, **groups}),
        passed_over=alone,
        rejects=alone
        and (kind is ProblemKind.UNREADABLE_BATCH or (kind is ProblemKind.SERVER_FAULT and answered_before)),
        ends_pass=until_later or unanswered_before + 1 >= MOST_UNANSWERED,
    )


def cleared(suspicions: Suspicions, tiles: Sequence[TileMetadataPersistent]) -> Suspicions:
    """The suspicions without these tiles, which the provider has judged."""
    kept = dict(suspicions.group_sizes)
    for tile in tiles:
        kept.pop(tile.tile_id, None)
    return attrs.evolve(suspicions, group_sizes=kept)


def _frame_bytes(tile: TileMetadataPersistent) -> int:
    return tile.disk_bytes + FRAME_ALLOWANCE_BYTES
