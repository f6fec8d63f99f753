"""The pages of durability, security and safety: every promise names the test that runs it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = ("docs/security.md", "docs/durability.md", "docs/safety.md")
LINK = re.compile(r"\[`?([^]`]+)`?\]\(\.\./((?:tests|adapters/contracts)/[^)#]+\.py)\)")


def written_pages() -> list[str]:
    return [page for page in PAGES if (REPOSITORY / page).exists()]


def links_of(text: str) -> list[tuple[str, str]]:
    """The links to tests in a text, each as the test's name and its file."""
    return LINK.findall(text)


def functions_in(path: Path) -> set[str]:
    """The names of a file's test functions; none when there is no such file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text("utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {function.name for function in functions if function.name.startswith("test_")}


def broken_links_of(text: str) -> list[str]:
    """Links that lead to no test, and links to the tests' folder that are not written as one to a test."""
    named = links_of(text)
    broken = [f"{file}::{name}" for name, file in named if name not in functions_in(REPOSITORY / file)]
    links = text.count("](../tests/") + text.count("](../adapters/contracts/")
    return broken + ["a link not written as [`name`](../tests/...py)"] * (links - len(named))


def rows_of(text: str) -> list[str]:
    """The lines of all tables, less headers and what rules them off."""
    lines = text.splitlines()
    tables = [(place, line) for place, line in enumerate(lines) if line.startswith("|")]
    ruled = {place for place, line in tables if re.fullmatch(r"[|\s:-]+", line)}
    return [line for place, line in tables if place not in ruled and place + 1 not in ruled]


def rows_without_a_test(text: str) -> list[str]:
    return [row for row in rows_of(text) if not links_of(row)]


@pytest.mark.parametrize("page", written_pages())
def test_every_link_to_a_test_leads_to_one(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    assert links_of(text)
    assert broken_links_of(text) == []


@pytest.mark.parametrize("page", written_pages())
def test_every_row_names_the_test_that_runs_it(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    assert rows_of(text)
    assert rows_without_a_test(text) == []


def test_there_is_a_page_about_security() -> None:
    assert "docs/security.md" in written_pages()


def test_the_check_sees_what_is_wrong() -> None:
    here = "../tests/unit/test_documented_promises.py"
    good = f"[`test_the_check_sees_what_is_wrong`]({here})"
    page = f"""
| promise | test |
| --- | :-- |
| kept | {good} |
| no link | somewhere |
| no such test | [`test_of_nothing`]({here}) |
| no such file | [`test_x`](../tests/unit/test_x.py) |
| a whole file | [these]({here}) |
| an anchor | [`test_y`]({here}#L7) |
"""
    assert rows_of(page)[0].startswith("| kept")
    assert [row.split(" | ")[0] for row in rows_without_a_test(page)] == ["| no link", "| an anchor"]
    assert broken_links_of(page) == [
        "tests/unit/test_documented_promises.py::test_of_nothing",
        "tests/unit/test_x.py::test_x",
        "tests/unit/test_documented_promises.py::these",
        "a link not written as [`name`](../tests/...py)",
    ]
