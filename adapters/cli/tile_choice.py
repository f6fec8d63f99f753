"""Options that choose among the tiles that are here: their ground, their zooms, their source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import click

from ...domain.errors import ImagerySourceError
from .areas import AreaOptions, add_area_options
from .arguments import variant, zooms
from .errors import BadInputError, as_bad_input
from .option_groups import gather

if TYPE_CHECKING:
    from ...domain.choose_tiles import ChosenTiles, TilePlan
    from ...domain.values.catalogue_entries import CatalogueColumns
    from ...domain.values.tile_key import VariantTable

_zooms_option = click.option("--zoom", "levels", type=zooms, metavar="A-B", help="Only these zooms.")
_variant_option = click.option(
    "--source",
    type=variant,
    metavar="SOURCE",
    help="Only tiles of this source, or of onboard/FLIGHT.  [default: all but those made on board]",
)


@attrs.frozen
class TileChoice:
    """Which of the tiles a command takes."""

    area_options: AreaOptions
    levels: tuple[int, ...] | None
    source: str | None

    def read(self) -> tuple[TilePlan, Mapping[str, int]]:
        """The choice, and what of the files of its area is no ground, counted. See `AreaOptions.read`."""
        from ...domain.choose_tiles import TilePlan

        area, outside_area = self.area_options.read()
        return TilePlan(area=area, zooms=self.levels or (), variant=self.source), outside_area


def add_tile_choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--area`, `--corridor`, `--zoom` and `--source`, as the parameter `choice`."""
    return add_area_options(_zooms_option(_variant_option(gather("choice", TileChoice)(function))))


def choose_some(
    columns: CatalogueColumns, variants: VariantTable, plan: TilePlan, *, nothing: str
) -> ChosenTiles:
    """The tiles that the plan takes. Raises `BadInputError` where there are none: `nothing` says so."""
    from ...domain.choose_tiles import choose_tiles

    with as_bad_input(ImagerySourceError):
        chosen = choose_tiles(columns, variants, plan)
    if not len(chosen):
        seen = ", ".join(f"{count} {reason}" for reason, count in sorted(chosen.left_out.items()))
        raise BadInputError(
            f"{nothing}{f' ({seen})' if seen else ''}",
            remedy="compare the area, zooms and source with aerotile status",
        )
    return chosen
