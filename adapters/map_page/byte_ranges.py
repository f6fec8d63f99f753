"""Which bytes of a file a request asks for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re

_RANGES = re.compile(r"bytes=\s*(?P<ranges>\S.*)", re.IGNORECASE)
_RANGE = re.compile(r"(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})", re.ASCII)


class UnsatisfiableRangeError(ValueError):
    """The range holds no byte of the file, or is no range."""


def chosen_bytes(range_header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte, and the one behind the last, of a range; None for the whole file.

    Another unit than bytes is not understood, and several ranges are not answered in parts: both give the
    whole file. Raises `UnsatisfiableRangeError`.
    """
    if range_header is None:
        return None
    match = _RANGES.fullmatch(range_header.strip())
    if match is None:
        if range_header.lower().startswith("bytes"):
            raise UnsatisfiableRangeError
        return None
    ranges = [part.strip() for part in match["ranges"].split(",")]
    parts = [_RANGE.fullmatch(part) for part in ranges]
    if not all(part and (part["first"] or part["last"]) for part in parts):
        raise UnsatisfiableRangeError
    if len(parts) > 1 or parts[0] is None:
        return None
    first, last = parts[0]["first"], parts[0]["last"]
    if not first:  # the last bytes of the file
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < begin:
            raise UnsatisfiableRangeError
    if begin >= end:
        raise UnsatisfiableRangeError
    return begin, end


def names_one_of(header: str, etag: str) -> bool:
    """Whether an If-None-Match names the content, or is `*`."""
    return any(part.strip().removeprefix("W/") in (etag, "*") for part in header.split(","))
