"""What all tiles of one intake share, and of one provision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import attrs

from ..ports.offered_tile import OfferedTile
from ..values.datasets import SourceDigest
from ..values.tiles import TileSource
from .compare_stored import OnContest

CaptureTimes: TypeAlias = Callable[[OfferedTile], "datetime | None"]
"""When the ground of each tile looked like that, where the tiles have dates of their own; None: not known."""


@attrs.frozen(kw_only=True)
class IntakeTerms:
    """Whose tiles come in, of when, and what becomes of a place that the store holds."""

    source: TileSource = TileSource.IMPORTED
    captured_at: datetime | CaptureTimes | None = None
    """One date for all tiles, or that of each; None: that of the dataset."""
    dataset: str | None = None
    """The dataset that the tiles are of."""
    source_digest: SourceDigest | None = None
    """Compared with the dataset's, where both are taken over the same."""
    on_contest: OnContest = OnContest.REFUSE


@attrs.frozen(kw_only=True)
class ProvisionTerms(IntakeTerms):
    """What one provision does with what it reads.

    Where `captured_at` is None and the dataset has no date, the dates are those of the sources.
    """

    take_file_dates: bool = False
    """Take a source's date also where it may be the time at which the file was made."""
    take_partial: bool = False
    """Take tiles of which a part shows no ground, too."""
    only_missing: bool = False
    """Read no place again that the store holds, so that what it holds there is not compared."""
    batch_size: int = 256
