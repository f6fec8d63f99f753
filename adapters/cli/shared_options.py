"""Options that several commands have."""

from __future__ import annotations

import click

from ...domain.values.tiles import TileSource
from .arguments import byte_rate

maker_option = click.option(
    "--source",
    type=click.Choice([TileSource.IMPORTED.value, TileSource.SATELLITE_PROVIDER.value]),
    default=TileSource.IMPORTED.value,
    show_default=True,
    help="Who made the tiles.",
)
resume_option = click.option("--resume", is_flag=True, help="Go on with a check that was interrupted.")
max_rate_option = click.option(
    "--max-rate",
    metavar="SIZE",
    callback=byte_rate,
    help='Read at most this many bytes a second, as "20 MiB".',
)
