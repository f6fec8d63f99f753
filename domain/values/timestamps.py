"""Times as texts that persons write, and as whole numbers that catalogues and tables of rows store."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
_OFFSET = r"[Zz]|([+-])(\d\d)(?::?(\d\d))?"
_TEXT = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}({_OFFSET})?)?", re.ASCII)


def microseconds_of(time: datetime) -> int:
    """Microseconds since 1970 of an aware time; exact."""
    return (time - EPOCH) // MICROSECOND


EARLIEST_US = microseconds_of(datetime.min.replace(tzinfo=timezone.utc))
LATEST_US = microseconds_of(datetime.max.replace(tzinfo=timezone.utc))
"""The times that `timestamp_of` can give."""


def timestamp_of(microseconds: int) -> datetime:
    """The time in UTC; exact. Raises `OverflowError` outside of the years 1 to 9999."""
    return EPOCH + microseconds * MICROSECOND


def read_time(text: str) -> datetime:
    """Read ISO 8601: a date (its first instant in UTC), or a date and time with an offset; gives UTC.

    The forms of RFC 3339, with the seconds, their fraction (to the microsecond) and the minutes of the offset
    optional. Each version of CPython reads other texts by `datetime.fromisoformat`. Raises `ValueError`.
    """
    text = text.strip()
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no date such as 2024-05-01 or 2024-05-01T12:00:00Z")
    year, month, day, hour, minute, second, fraction, offset, sign, hours, minutes = match.groups()
    if hour is not None and offset is None:
        raise ValueError(f"{text!r} has a time but no offset; write {text}Z for UTC")
    try:
        time = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=timezone.utc,
        )
        if int(hours or 0) > 23 or int(minutes or 0) > 59:
            raise ValueError("an offset has hours in 0..23 and minutes in 0..59")
        behind = timezone(timedelta(hours=int(hours or 0), minutes=int(minutes or 0))).utcoffset(None)
        return time + behind if sign == "-" else time - behind
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date: {error}") from None


def end_of(text: str) -> datetime:
    """Read what `read_time` reads; of a date its last microsecond in UTC. Raises `ValueError`."""
    time = read_time(text)
    return time + (timedelta(days=1) - MICROSECOND) if re.fullmatch(_DATE, text.strip(), re.ASCII) else time
