"""Numbers of things in words."""

from __future__ import annotations

import pytest

from aerotile.domain.values.counted import counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 tiles were"), (1, "1 tile was"), (2, "2 tiles were"), (21, "21 tiles were")]
)
def test_only_one_is_in_the_singular(count: int, words: str) -> None:
    assert counted(count, "tile was", "tiles were") == words


def test_an_s_makes_the_plural_where_none_is_given() -> None:
    assert (counted(1, "temporary file"), counted(3, "temporary file")) == (
        "1 temporary file",
        "3 temporary files",
    )
