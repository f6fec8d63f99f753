"""Moments as whole numbers: microseconds since 1970, which is what catalogues and tables of rows keep."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)


def microseconds_of(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment; exact."""
    return (moment - EPOCH) // MICROSECOND


def timestamp_of(microseconds: int) -> datetime:
    """The moment in UTC; exact. Raises `OverflowError` outside of the years 1 to 9999."""
    return EPOCH + microseconds * MICROSECOND
