"""How long a server asks to wait."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,15}")


def retry_after_s(value: str | None, date: str | None, now: datetime) -> float | None:
    """`Retry-After` in seconds from now; None when it is missing or can't be read.

    A date counts from the answer's own `Date` if there is one: this machine's clock may be wrong.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (_http_date(date) or now)).total_seconds())


def _http_date(value: str | None) -> datetime | None:
    try:
        read = parsedate_to_datetime(value) if value is not None else None
        # A date without a zone is in GMT.
        return None if read is None else read.replace(tzinfo=read.tzinfo or timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
