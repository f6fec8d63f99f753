"""The programs in README.md and docs/ are those of examples/, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = {path.name: path.read_text("utf-8") for path in (REPOSITORY / "examples").glob("*.py")}
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_program_on_a_page_is_an_example(page: Path) -> None:
    shown = PYTHON.findall(page.read_text("utf-8"))
    assert [program for program in shown if program not in EXAMPLES.values()] == []


def test_every_example_is_on_the_page_of_examples() -> None:
    shown = PYTHON.findall((REPOSITORY / "docs" / "examples.md").read_text("utf-8"))
    assert sorted(shown) == sorted(EXAMPLES.values())
    assert len(EXAMPLES) >= 6
