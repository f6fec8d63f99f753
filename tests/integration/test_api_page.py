"""docs/api.md is what tests/api_page.py makes of the code, and every field on it says what it means."""

from __future__ import annotations

import re

import api_page

import aerotile


def test_the_page_is_what_the_code_says() -> None:
    written = api_page.PAGE.read_text(encoding="utf-8")
    assert written == api_page.page(), "run `python tests/api_page.py` to write docs/api.md anew"


def test_every_public_name_has_a_heading() -> None:
    headings = re.findall(r"^### `(\w+)`$", api_page.page(), re.MULTILINE)
    assert sorted(headings) == sorted(aerotile.__all__)


def test_every_field_says_what_it_means() -> None:
    assert [*api_page.fields_without_meaning()] == []
