"""Timestamps as whole numbers: microseconds since 1970 UTC, as catalogues and tables of rows store them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)


def microseconds_of(time: datetime) -> int:
    """Microseconds since 1970 of an aware time; exact."""
    return (time - EPOCH) // MICROSECOND


def timestamp_of(microseconds: int) -> datetime:
    """The time in UTC; exact. Raises `OverflowError` outside of the years 1 to 9999."""
    return EPOCH + microseconds * MICROSECOND
