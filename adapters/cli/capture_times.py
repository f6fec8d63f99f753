"""Options that say when the ground of tiles looked like that: by hand, by tile, or from a STAC item."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .arguments import EXISTING_FILE, moment
from .errors import BadInputError
from .option_groups import gather

if TYPE_CHECKING:
    from ...domain.intake.terms import CaptureTimes

captured_at_option = click.option(
    "--captured-at",
    type=moment,
    metavar="DATE",
    help="When the ground looked like that: a date, or a date and time with an offset.",
)
dates_option = click.option(
    "--dates",
    type=EXISTING_FILE,
    metavar="FILE.csv",
    help="The date of each tile: a CSV with the columns z,x,y,captured_at, y from the north. "
    "Tiles without a line are left out.",
)
stac_option = click.option(
    "--stac",
    type=EXISTING_FILE,
    metavar="FILE.json",
    help="A STAC item, whose datetime is the date of all tiles on its ground (bbox, footprint); of a range "
    "the start counts.",
)


@attrs.frozen
class ChosenTimes:
    """What the options say; both None: nothing."""

    times: datetime | CaptureTimes | None
    origin: str | None
    """Where that came from, in words."""
    option: str | None = None
    """The option that says it."""
    one_date: datetime | None = None
    """The date of all tiles that have one; None where they may differ."""

    def check(self, now: datetime) -> None:
        """Raise `CaptureTimeInFutureError` for one date that can't be right yet."""
        from ...domain.policies.freshness import check_capture_time

        if self.one_date is not None:
            check_capture_time(self.one_date, now)


@attrs.frozen
class CaptureTimeOptions:
    """The ways to say when the ground looked like that, of which one may be given."""

    captured_at: datetime | None
    stac: Path | None
    dates: Path | None = None

    def read(self) -> ChosenTimes:
        """What they say. Raises `BadInputError` for more than one, `CaptureDateError` for a bad file."""
        ways = (("--captured-at", self.captured_at), ("--dates", self.dates), ("--stac", self.stac))
        given = [name for name, value in ways if value is not None]
        if len(given) > 1:
            raise BadInputError(
                f"{' and '.join(given)} both say when the tiles were captured", remedy="give one"
            )
        if self.captured_at is not None:
            return ChosenTimes(self.captured_at, "by hand", given[0], self.captured_at)
        if self.dates is not None:
            from ..input_files.capture_dates import read_dates_by_place

            return ChosenTimes(
                read_dates_by_place(self.dates), f"the CSV by tile {self.dates.name}", given[0]
            )
        if self.stac is not None:
            from ..input_files.capture_dates import read_stac_date

            found = read_stac_date(self.stac)
            times = found if found.ground else found.captured_at
            return ChosenTimes(times, found.origin, given[0], found.captured_at)
        return ChosenTimes(None, None)


gather_capture_times = gather("capture_times", CaptureTimeOptions)


def add_capture_time_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--captured-at`, `--dates` and `--stac`, as the parameter `capture_times`."""
    return captured_at_option(dates_option(stac_option(gather_capture_times(function))))
