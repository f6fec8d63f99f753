"""docs/api.md is what tests/api_page.py makes of the code, and every field on it says what it means."""

from __future__ import annotations

import re

import api_page
import contract_types
from public_api import public_names

import aerotile


def test_the_page_is_what_the_code_says() -> None:
    written = api_page.PAGE.read_text(encoding="utf-8")
    assert written == api_page.page(), "run `python tests/api_page.py` to write docs/api.md anew"


def test_every_public_name_has_a_heading() -> None:
    headings = re.findall(r"^### `(\w+)`$", api_page.page(), re.MULTILINE)
    assert sorted(headings) == sorted(aerotile.__all__)


NOT_IN_A_CONTRACT = {
    "GridRange": "a rectangle of the grid, for programs that go over one; no call takes it",
    "MigrationReport": "what `apply_migrations` answers, for tools on the ground",
    "RecordEnvelope": "what a reader of the flight record meets",
}
"""Values that no call of a contract names, each with the reason."""


def test_contract_pages_list_the_types_of_their_calls_with_their_fields() -> None:
    for page in contract_types.PAGES:
        written = page.read_text(encoding="utf-8")
        assert written == contract_types.page_with_types(written), "run `python tests/api_page.py`"


def test_every_value_is_on_a_contract_page() -> None:
    listed = {
        name for page in contract_types.PAGES for name, _ in contract_types.types_on(page.read_text("utf-8"))
    }
    values = {name for name, value in public_names().items() if contract_types.is_documented_type(value)}
    assert values - listed == set(NOT_IN_A_CONTRACT)


def test_every_field_says_what_it_means() -> None:
    assert [*api_page.fields_without_meaning()] == []
