"""The pages in docs/contracts/ against the ports: a method table that lags behind is a broken promise."""

from __future__ import annotations

import inspect
import re
from abc import ABC
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

import aerotile

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(path for path in (REPOSITORY / "docs" / "contracts").glob("*.md") if path.name != "README.md")
SECTIONS = ("What it promises", "Durability", "Threads", "Held by")


@attrs.frozen
class Method:
    """A row of a method table, or what the row should say."""

    parameters: str
    returns: str
    raises: frozenset[str]


def ports_of_the_domain() -> dict[str, type]:
    of_the_domain = [name for name, module in aerotile._MODULE_OF.items() if module.startswith(".domain.")]
    public = {name: getattr(aerotile, name) for name in of_the_domain}
    return {
        name: value
        for name, value in public.items()
        if inspect.isclass(value) and (Protocol in value.__bases__ or ABC in value.__bases__)
    }


def methods_of(port: type) -> dict[str, Method]:
    own = {name: value for name, value in vars(port).items() if is_promised(name, value)}
    return {name: described(port, value) for name, value in own.items()}


def is_promised(name: str, value: object) -> bool:
    if isinstance(value, property):
        return True
    # `__init__` and `__subclasshook__` come from the Protocol machinery.
    return inspect.isfunction(value) and (not name.startswith("_") or name in ("__enter__", "__exit__"))


def described(port: type, value: Any) -> Method:
    function = value.fget if isinstance(value, property) else value
    signature = inspect.signature(function)
    parameters = "property" if isinstance(value, property) else ", ".join(rendered(signature))
    # A docstring names what its method raises; that of a port may name what "every method raises"; a default
    # implementation names it in its body.
    of_every_method = re.findall(r"Every method raises [^.]+", inspect.getdoc(port) or "")
    promise = " ".join([inspect.getsource(function), *of_every_method])
    return Method(parameters, signature.return_annotation, frozenset(re.findall(r"\b\w+Error\b", promise)))


def rendered(signature: inspect.Signature) -> Iterator[str]:
    star_given = False
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and not star_given:
            star_given = True
            yield "*"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"{parameter.name}: {parameter.annotation}{default}"


def tables() -> dict[str, dict[str, Method]]:
    """Every method table of every page, by the name of the port in its heading."""
    found: dict[str, dict[str, Method]] = {}
    for page in PAGES:
        for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            heading = re.match(r"Methods of `(\w+)`\n", section)
            if heading:
                assert heading[1] not in found, f"{heading[1]} has two tables"
                found[heading[1]] = dict(rows(section))
    return found


def rows(section: str) -> Iterator[tuple[str, Method]]:
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == "| method | parameters | returns | raises |"
    for line in lines[2:]:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        name, parameters, returns = (cell.strip("`").replace(r"\|", "|") for cell in cells[:3])
        yield name, Method(parameters, returns, frozenset(re.findall(r"`(\w+)`", cells[3])))


def test_every_port_has_a_method_table_and_every_table_a_port() -> None:
    assert set(tables()) == set(ports_of_the_domain())


@pytest.mark.parametrize("name", sorted(ports_of_the_domain()))
def test_a_method_table_says_what_its_port_says(name: str) -> None:
    assert tables()[name] == methods_of(ports_of_the_domain()[name])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_is_promised_durable_and_safe_in_threads(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [section for section in SECTIONS if f"\n## {section}\n" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_suite_that_holds_a_contract_exists(page: Path) -> None:
    held_by = page.read_text(encoding="utf-8").split("\n## Held by\n")[1]
    suites = re.findall(r"`(tests/[\w/.]+)`", held_by)
    assert suites
    for suite in suites:
        path = REPOSITORY / suite
        assert path.is_file() or any(path.glob("test_*.py")), suite


def test_the_index_lists_every_page_with_its_ports() -> None:
    index = (REPOSITORY / "docs" / "contracts" / "README.md").read_text(encoding="utf-8")
    listed = {
        page: set(re.findall(r"`(\w+)`", names))
        for page, names in re.findall(r"^\| \[[\w.]+\]\(([\w.]+)\) \| (.*) \|$", index, re.MULTILINE)
    }
    written = {
        page.name: set(re.findall(r"^## Methods of `(\w+)`$", page.read_text(encoding="utf-8"), re.MULTILINE))
        for page in PAGES
    }
    assert listed == written
