"""The types on the pages of docs/contracts/, with their fields, from the code; `api_page.py` writes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
from public_api import annotations_of, is_enumeration, public_names, types_named_by

PAGES = sorted((Path(__file__).parents[1] / "docs" / "contracts").glob("[!R]*.md"))
HEAD = """## Types

What the calls of this page take and return, with fields or members; [api.md](../api.md) has their meaning.

| type | fields or members |
|---|---|
"""
_SECTION = re.compile(r"^## Types\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
_BEFORE = "## Durability\n"


def page_with_types(text: str) -> str:
    """The page with its section of types as the code has them."""
    rows = "".join(
        f"| [`{n}`](../api.md#{n.lower()}) | {', '.join(_parts(k))} |\n" for n, k in types_on(text)
    )
    section = f"{HEAD}{rows}\n" if rows else ""
    return _SECTION.sub("", text).replace(_BEFORE, section + _BEFORE, 1)


def types_on(text: str) -> list[tuple[str, type]]:
    """The values and enumerations that the calls on a page name, and those that their fields name."""
    known = public_names()
    ports = re.findall(r"^## Methods of `(\w+)`$", text, re.MULTILINE)
    title = re.match(r"# (\w+)\n", text)
    calls = [*ports, *([title[1]] if title and inspect.isfunction(known.get(title[1])) else [])]
    return sorted(_reached(known, calls).items())


def is_documented_type(value: Any) -> bool:
    """Whether a public name is a value or an enumeration, and no part of the configuration."""
    own = inspect.isclass(value) and not value.__module__.startswith("aerotile.adapters.config")
    return own and (attrs.has(value) or is_enumeration(value))


def _reached(known: dict[str, Any], names: Iterable[str]) -> dict[str, type]:
    found: dict[str, type] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        named = [kind for each in annotations_of(name, known[name]) for kind in types_named_by(each)]
        lists = [base for kind in named for base in getattr(kind, "__orig_bases__", ())]
        for kind in [*named, *(item for base in lists for item in get_args(base))]:
            if kind.__name__ not in found and is_documented_type(known.get(kind.__name__)):
                found[kind.__name__] = kind
                waiting.append(kind.__name__)
    return found


def _parts(kind: Any) -> Iterator[str]:
    if is_enumeration(kind):
        yield from (f"`{member.name}`" for member in kind)
    else:
        yield from (f"`{field.name}`" for field in attrs.fields(kind) if not field.name.startswith("_"))


def write() -> None:
    """Write the section of every page."""
    for page in PAGES:
        page.write_text(page_with_types(page.read_text("utf-8")), "utf-8")
