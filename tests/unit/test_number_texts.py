"""Numbers as texts: plain digits, and nothing else that Python's own constructors read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aerotile.domain.values.number_texts import read_decimal, read_decimals, read_whole

NO_NUMBERS = ["", " ", "-", "1_0", " 5", "5 ", "5\n", "٤٢", "５", "²", "0x10", "five", "1,5", "--5", "- 5"]
NO_DECIMALS = [
    ".",
    "e5",
    "1e",
    "1e+",
    "nan",
    "inf",
    "-Infinity",
    "1e400",
    "-1e999",
    "1_0.5",
    "1.5.2",
    "9" * 400,
]
NO_WHOLES = ["1.0", "1e3", "+5", "9" * 41, "9" * 5000]


@pytest.mark.parametrize("text", ["0", "-0.0", "48.1374", "-122.5", "+11.5", "5.", ".5", "1e-05", "5.59E8"])
def test_a_plain_number_is_read_as_python_reads_it(text: str) -> None:
    assert math.copysign(1, read_decimal(text)) == math.copysign(1, float(text))
    assert read_decimal(text) == float(text)


@pytest.mark.parametrize("text", ["0", "7", "-7", "0007", str(10**18)])
def test_a_plain_whole_number_is_read_as_python_reads_it(text: str) -> None:
    assert read_whole(text) == int(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_decimal, text) for text in NO_NUMBERS + NO_DECIMALS]
    + [(read_whole, text) for text in NO_NUMBERS + NO_WHOLES],
)
def test_what_is_no_plain_number_is_refused_in_a_short_line(read: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a (whole )?number in plain digits, got '") as refused:
        read(text)
    assert len(str(refused.value)) < 100


def test_numbers_with_commas_between_may_have_blanks_beside_the_commas() -> None:
    assert read_decimals("11.4, 48.0 ,11.8,48.3", 4) == [11.4, 48.0, 11.8, 48.3]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,", "1;2;3;4"])
def test_another_count_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        read_decimals(text, 4)
