"""The JSON of a recall list. No time and no host in it: the same list gives the same bytes."""

from __future__ import annotations

import json
from typing import Any

from ...domain.values.lookups import area_facts, area_of
from ...domain.values.recall_list import CaptureRange, RecallList
from ...domain.values.timestamps import microseconds_of, timestamp_of
from ..strict_json import parse_json

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.aerotile.recall+json"
MOST_BYTES = 64 << 20
"""Of a list with its signatures: about 700,000 digests."""
_SELECTORS = ("digests", "captured_us", "areas")


def encode_list(recalls: RecallList) -> bytes:
    """The list as JSON."""
    facts = {
        "format": FORMAT,
        "number": recalls.number,
        "reason": recalls.reason,
        "recalled": {
            "digests": list(recalls.digests),
            "captured_us": [
                [microseconds_of(span.first), microseconds_of(span.last)] for span in recalls.captured
            ],
            "areas": [area_facts(area) for area in recalls.areas],
        },
    }
    return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def decode_list(content: bytes) -> RecallList:
    """The list in JSON. Raises `ValueError`.

    A list that recalls tiles in a way that this program does not know is refused whole: to apply the rest of
    it would let recalled tiles through.
    """
    try:
        return _decode(parse_json(content.decode("utf-8")))
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is no recall list of ours ({error!r})") from error


def _decode(facts: dict[str, Any]) -> RecallList:
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, this program reads {FORMAT}")
    recalled = facts["recalled"]
    unknown = sorted(set(recalled) - set(_SELECTORS))
    if unknown or set(facts) != {"format", "number", "reason", "recalled"}:
        more = sorted(set(facts) - {"format", "number", "reason", "recalled"})
        raise ValueError(
            f"it recalls by {', '.join([*unknown, *more]) or 'nothing'}, which this program does not know"
        )
    return RecallList(
        number=facts["number"],
        reason=facts["reason"],
        digests=recalled["digests"],
        captured=tuple(
            CaptureRange(timestamp_of(first), timestamp_of(last)) for first, last in recalled["captured_us"]
        ),
        areas=tuple(area_of(area) for area in recalled["areas"]),
    )
