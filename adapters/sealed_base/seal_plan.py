"""Which tiles of a store a base takes: the area, the zooms, and one variant of each place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import attrs

from ...domain.errors import BaseSealError
from ...domain.values.tile_grid import MAX_ZOOM, Bbox, GridRange
from ...domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus


@attrs.frozen(kw_only=True, slots=False)
class SealPlan:
    """What to take. `prefer` lists sources, or `onboard/FLIGHT`, the most preferred first."""

    boxes: tuple[Bbox, ...] = ()
    """None: everywhere. A tile is in when its box shares a point with one of them."""
    chosen_within: tuple[Bbox, ...] = ()
    """In place of `boxes`, around the area of tiles that were chosen before: the manifest states them."""
    zooms: tuple[int, ...] = ()
    """None: all."""
    prefer: tuple[str, ...] = ()
    take_onboard: bool = False
    """Take tiles that the aircraft made, if the provider trusts them."""
    without: tuple[str, ...] = ()
    """Names of datasets whose tiles are not taken."""

    @cached_property
    def _ranges(self) -> dict[int, list[GridRange]]:
        return {zoom: [GridRange.covering(box, zoom) for box in self.boxes] for zoom in range(MAX_ZOOM + 1)}

    def reason_to_leave_out(self, row: TileMetadata) -> str | None:
        """Why a tile is not taken, as the manifest counts it; None for a tile that may be taken."""
        tile_id = row.tile_id
        if self.zooms and tile_id.zoom_level not in self.zooms:
            return "another zoom"
        if self.boxes and not any(
            each.min_x <= tile_id.x <= each.max_x and each.min_y <= tile_id.y <= each.max_y
            for each in self._ranges[tile_id.zoom_level]
        ):
            return "outside the area"
        if row.dataset is not None and row.dataset in self.without:
            return of_dataset(row.dataset)
        if tile_id.source is TileSource.ONBOARD and not self.take_onboard:
            return "made on board, not asked for"
        if tile_id.source is TileSource.ONBOARD and row.voting_status is not VotingStatus.TRUSTED:
            return "made on board, not trusted"
        return None

    def chosen(self, variants: Sequence[TileId]) -> int:
        """Which of several tiles of one place is taken. Raises `BaseSealError` for two without an order."""
        ranks = sorted((self._rank(tile_id), position) for position, tile_id in enumerate(variants))
        if ranks[0][0] == ranks[1][0]:
            first, second = (variants[position] for _, position in ranks[:2])
            raise BaseSealError(
                f"the store holds {first} and {second}, and an archive holds one tile a place",
                remedy=f"say which goes first: --prefer {named(first)} --prefer {named(second)}",
            )
        return ranks[0][1]

    def _rank(self, tile_id: TileId) -> int:
        for name in (named(tile_id), tile_id.source.value):
            if name in self.prefer:
                return self.prefer.index(name)
        return len(self.prefer)


def of_dataset(name: str) -> str:
    """The reason to leave a dataset's tile out."""
    return f"of the dataset {name}"


def named(tile_id: TileId) -> str:
    """A tile's variant as `prefer` names it."""
    flight = "" if tile_id.flight_id is None else f"/{tile_id.flight_id}"
    return f"{tile_id.source.value}{flight}"
