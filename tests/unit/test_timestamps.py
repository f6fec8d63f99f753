"""Texts of times are read alike on every version of CPython, as `datetime.fromisoformat` does not."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.timestamps import EPOCH, microseconds_of, read_time, timestamp_of

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=timezone.utc)),
        (" 2024-02-29 ", datetime(2024, 2, 29, tzinfo=timezone.utc)),
        # CPython 3.10 reads no Z, and no fraction or offset of these lengths; 3.11 and newer do.
        ("2024-05-01T12:00:00Z", NOON),
        ("2024-05-01T12:00:00z", NOON),
        ("2024-05-01T12:00Z", NOON),
        ("2024-05-01T12:00:00.5Z", NOON + timedelta(seconds=0.5)),
        ("2024-05-01T12:00:00,25+00:00", NOON + timedelta(seconds=0.25)),
        ("2024-05-01T12:00:00.1234+00:00", NOON + timedelta(microseconds=123_400)),
        ("2024-05-01T12:00:00.1234567Z", NOON + timedelta(microseconds=123_456)),
        ("2024-05-01T12:00:00.999999999Z", NOON + timedelta(microseconds=999_999)),
        ("2024-05-01T14:00:00+0200", NOON),
        ("2024-05-01T14+02", None),
        ("2024-05-01T14:00+02", NOON),
        ("2024-05-01t12:00:00Z", NOON),
        ("2024-05-01 12:00:00+00:00", NOON),
        ("2024-05-01T06:30:00-05:30", NOON),
        ("2024-05-02T11:59:00+23:59", NOON),
        ("2024-05-01T12:00:00-00:00", NOON),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=timezone.utc)),
        # CPython 3.11 and newer read these, 3.10 does not.
        ("20240501", None),
        ("2024-W18-3", None),
        ("20240501T120000Z", None),
        ("2024-05-01T120000Z", None),
        ("2024-05-01T12:00:00+02:00:30.5", None),
        # Any separator is read by CPython 3.10 and newer.
        ("2024-05-01x12:00:00+00:00", None),
        # Only the newest versions read midnight so.
        ("2024-05-01T24:00:00Z", None),
        ("2024-05-01T12:00:60Z", None),
        ("2024-05-01T12:00:00+24:00", None),
        ("2024-05-01T12:00:00+02:60", None),
        ("2024-05-01T12:00:00", None),
        ("2024-05-01 12:00", None),
        ("2024-05-01Z", None),
        ("2024-13-01", None),
        ("2023-02-29", None),
        ("0000-01-01", None),
        ("0001-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59-00:01", None),
        ("٢٠٢٤-05-01", None),
        ("2024-5-1", None),
        ("01.05.2024", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_text_is_read_as_one_time_or_refused_with_its_words(text: str, time: datetime | None) -> None:
    if time is not None:
        assert read_time(text) == time
        assert read_time(text).tzinfo is timezone.utc
        return
    with pytest.raises(ValueError, match=r"is no date|has a time but no offset") as caught:
        read_time(text)
    assert repr(text.strip()) in str(caught.value)


def test_a_time_without_an_offset_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="has a time but no offset; write 2024-05-01T12:00Z for UTC"):
        read_time("2024-05-01T12:00")


@given(
    st.timedeltas(timedelta(days=-700_000), timedelta(days=2_900_000)),
    st.integers(-1439, 1439),
)
def test_what_python_writes_is_read_with_any_offset(since_1970: timedelta, minutes: int) -> None:
    time = EPOCH + since_1970
    text = time.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert read_time(text) == time
    assert timestamp_of(microseconds_of(time)) == time


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert read_time(text).tzinfo is timezone.utc


@pytest.mark.parametrize("offset", ["+24:00", "-99", "+01:60"])
def test_an_offset_that_is_none_is_refused_in_the_words_of_its_own(offset: str) -> None:
    with pytest.raises(ValueError, match=r"an offset has hours in 0\.\.23 and minutes in 0\.\.59$"):
        read_time(f"2024-05-01T12:00{offset}")
