"""Options that say what becomes of a place that the store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from .errors import BadInputError
from .option_groups import gather

if TYPE_CHECKING:
    from ...domain.intake.compare_stored import OnContest

dataset_option = click.option(
    "--dataset", metavar="NAME", help="The dataset that the tiles are of; define it with aerotile datasets."
)
keep_option = click.option(
    "--keep", is_flag=True, help="Where another dataset holds a place: leave the stored tile, as a success."
)


@attrs.frozen
class ContestOptions:
    """The dataset of new tiles, and what becomes of a place where the store holds other ones."""

    dataset: str | None
    keep: bool
    replace: bool
    refresh: bool = False
    missing_only: bool = False

    def on_contest(self) -> OnContest:
        """What the options say. Raises `BadInputError` for two of which one replaces what the other leaves,
        and for `--keep` without a dataset.
        """
        from ...domain.intake.compare_stored import OnContest

        if self.keep and self.dataset is None:
            raise BadInputError(
                "--keep is for places that another dataset holds: no dataset is named",
                remedy="give --dataset",
            )
        ways = {"--keep": self.keep, "--replace": self.replace, "--refresh": self.refresh}
        every = ways | {"--missing-only": self.missing_only}
        given = [option for option, is_given in every.items() if is_given]
        if len(given) > 1 and (self.replace or self.refresh):
            raise BadInputError(f"{given[0]} and {given[1]} contradict each other", remedy="give one of them")
        return next((OnContest(way[2:]) for way, is_given in ways.items() if is_given), OnContest.REFUSE)


gather_contests = gather("contests", ContestOptions)
