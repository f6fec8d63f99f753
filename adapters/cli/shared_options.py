"""Options that several commands have."""

from __future__ import annotations

import click

from ...domain.values.tiles import TileSource
from .arguments import byte_rate, variant, zooms
from .errors import BadInputError

zooms_option = click.option("--zoom", "levels", type=zooms, metavar="A-B", help="Only these zooms.")
variant_option = click.option(
    "--source",
    type=variant,
    metavar="SOURCE",
    help="Only tiles of this source, or of onboard/FLIGHT.  [default: all but those made on board]",
)
maker_option = click.option(
    "--source",
    type=click.Choice([TileSource.IMPORTED.value, TileSource.SATELLITE_PROVIDER.value]),
    default=TileSource.IMPORTED.value,
    show_default=True,
    help="Who made the tiles.",
)
dataset_option = click.option(
    "--dataset", metavar="NAME", help="The dataset that the tiles are of; define it with aerotile datasets."
)
keep_option = click.option(
    "--keep", is_flag=True, help="Where another dataset holds a place: leave the stored tile, as a success."
)
resume_option = click.option("--resume", is_flag=True, help="Go on with a check that was interrupted.")
max_rate_option = click.option(
    "--max-rate",
    metavar="SIZE",
    callback=byte_rate,
    help='Read at most this many bytes a second, as "20 MiB".',
)


def check_keep(keep: bool, dataset: str | None) -> None:
    """Raise `BadInputError` for `--keep` without `--dataset`."""
    if keep and dataset is None:
        raise BadInputError(
            "--keep is for places that another dataset holds: no dataset is named", remedy="give --dataset"
        )
