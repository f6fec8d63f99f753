"""docs/api.md from the code: every public name with its fields. Run this file to write the pages anew."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import contract_types
from public_api import alias_meaning, is_alias, is_enumeration, is_error, public_names

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
CONTRACTS = PAGE.parent / "contracts"
WIDTH = 118
HEAD = (
    "# API",
    "Every public name of `import aerotile`, with its fields. `tests/api_page.py` writes this page from the "
    "code, and a test fails when the two differ. What a port promises is on its page in "
    "[contracts/](contracts/README.md); programs that use these names are in [examples.md](examples.md).",
    "Values are frozen. A constructor checks its arguments and raises `ValueError` that shows the wrong "
    "one; `attrs.evolve` makes a changed copy. A call refuses an argument of a wrong type with "
    "`TypeError` or `ValueError`, or an error of its own, whose message names the parameter; numbers of "
    "NumPy and buffers are taken where their values are right. Only `record` and `record_fix` never "
    "raise: they count what is no event as dropped. Times are aware datetimes in UTC, places are "
    "degrees (WGS 84), sizes are bytes. Every error has `remedy`, what to do or None, besides the "
    "fields listed here.",
)


def page() -> str:
    """The whole page."""
    names = public_names()
    blocks = [_wrapped(text) for text in HEAD]
    sections = (
        ("Functions", inspect.isfunction, _function),
        ("Values", _is_value, _class),
        ("Aliases for annotations", is_alias, _alias),
        ("Enumerations", is_enumeration, _enumeration),
        ("Errors", is_error, _error),
        ("Configuration", _is_configuration, _class),
        ("Ports", _contract_of, _port),
        ("Other classes", inspect.isclass, _class),
    )
    for heading, belongs, render in sections:
        chosen = {name: value for name, value in names.items() if belongs(value)}
        names = {name: value for name, value in names.items() if name not in chosen}
        blocks.append(f"## {heading}")
        if render is _error:
            blocks.append("```text\n" + _tree(chosen["AerotileError"], chosen.values()) + "```")
        for name, value in chosen.items():
            blocks += [f"### `{name}`", *render(name, value)]
    return "\n\n".join(blocks) + "\n"


def fields_without_meaning() -> Iterator[str]:
    """Public fields and members that the code does not explain."""
    for name, value in public_names().items():
        if is_enumeration(value):
            yield from (f"{name}.{m.name}" for m in value if m.name not in _described(value))
        elif inspect.isclass(value):
            yield from (f"{name}.{field.name}" for field in _fields(value) if not _meaning(value, field))


def _is_configuration(value: Any) -> bool:
    return inspect.isclass(value) and value.__module__.startswith("aerotile.adapters.config")


def _is_value(value: Any) -> bool:
    return inspect.isclass(value) and attrs.has(value) and not _is_configuration(value)


def _contract_of(value: Any) -> str | None:
    """The page with the methods of a port; None for what is no port."""
    heading = f"## Methods of `{value.__name__}`\n"
    pages = sorted(path for path in CONTRACTS.glob("*.md") if heading in path.read_text("utf-8"))
    return pages[0].name if pages else None


def _function(name: str, function: Any) -> Iterator[str]:
    parameters = ", ".join(_parameters(function))
    yield _wrapped(f"`{name}({parameters}) -> {inspect.get_annotations(function)['return']}`")
    yield from _prose(function)


def _alias(name: str, alias: str) -> Iterator[str]:
    yield f"`{alias}`"
    yield from map(_wrapped, _split(alias_meaning(name)))


def _class(_: str, kind: Any) -> Iterator[str]:
    yield from _prose(kind)
    rows = [
        f"| `{field.name}` | {_code(str(field.type))} | {_code(_default(field))} | {_meaning(kind, field)} |"
        for field in _fields(kind)
    ]
    if rows:
        yield "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])
    yield from _members(kind)


def _enumeration(_: str, kind: Any) -> Iterator[str]:
    yield from _prose(kind)
    rows = [f"| `{m.name}` | `{m.value!r}` | {_described(kind).get(m.name, '')} |" for m in kind]
    yield "\n".join(["| member | value | meaning |", "|---|---|---|", *rows])
    yield from _members(kind)


def _error(_: str, kind: Any) -> Iterator[str]:
    yield from _prose(kind)
    fields = ", ".join(f"`{field}: {text}`" for field, text in _error_fields(kind))
    if fields:
        yield _wrapped(f"Fields: {fields}.")


def _port(_: str, kind: Any) -> Iterator[str]:
    yield from _prose(kind)
    yield f"Its methods: [contracts/{_contract_of(kind)}](contracts/{_contract_of(kind)})."


def _members(kind: Any) -> Iterator[str]:
    """One list: each public method and property, with the first paragraph of its docstring.

    Those of a base class that is not public are the class's own.
    """
    lines = []
    private = [
        base
        for base in reversed(kind.__mro__[1:])
        if base.__module__.startswith("aerotile.") and base.__name__ not in public_names()
    ]
    members = {name: member for base in (*private, kind) for name, member in vars(base).items()}
    for name, member in members.items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        called = "" if isinstance(member, property) else f"({', '.join(list(_parameters(function))[1:])})"
        returns = inspect.get_annotations(function)["return"]
        about = next(_paragraphs(function), "")
        lines.append(_wrapped(f"- `{name}{called}`: `{returns}`. {about}", hanging="  "))
    if lines:
        yield "\n".join(lines)


def _parameters(function: Any) -> Iterator[str]:
    star_given = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star_given:
            star_given = True
            yield "*"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"{parameter.name}: {parameter.annotation}{default}"


def _fields(kind: Any) -> list[attrs.Attribute[Any]]:
    return [f for f in attrs.fields(kind) if not f.name.startswith("_")] if attrs.has(kind) else []


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return ""
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type] # a class, which its stub hides
        return f"{field.default.factory.__name__}()"
    if callable(field.default):
        return str(field.default.__name__)
    return repr(str(field.default) if isinstance(field.default, Path) else field.default)


def _meaning(kind: type, field: attrs.Attribute[Any]) -> str:
    if str(field.type).endswith("Config"):
        return f"The section `[{field.name}]`."
    return _in_table(_described(kind).get(field.name) or str(field.metadata.get("about", "")))


def _error_fields(kind: Any) -> Iterator[tuple[str, str]]:
    """What `__init__` keeps of its arguments, without `remedy`, which every error has."""
    for base in kind.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("aerotile."):
            kept = set(re.findall(r"self\.(\w+) = \1\b", inspect.getsource(base.__init__))) - {"remedy"}
            yield from ((n, text) for n, text in inspect.get_annotations(base.__init__).items() if n in kept)


@cache
def _described(kind: type) -> dict[str, str]:
    """The text below each field or member of a class, and of what it inherits from."""
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("aerotile."):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, following in pairwise(definition.body):
            name = _assigned(statement)
            if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                meanings[name] = _in_table(str(following.value.value))
    return meanings


def _assigned(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def _tree(kind: type, kinds: Iterable[type], depth: int = 0) -> str:
    below = [each for each in kinds if each.__bases__ == (kind,)]
    return f"{'    ' * depth}{kind.__name__}\n" + "".join(_tree(each, kinds, depth + 1) for each in below)


def _prose(value: Any) -> Iterator[str]:
    yield from map(_wrapped, _paragraphs(value))


def _paragraphs(value: Any) -> Iterator[str]:
    return _split(inspect.getdoc(value) or "")


def _split(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield " ".join(paragraph.split())


def _wrapped(text: str, hanging: str = "") -> str:
    lines = textwrap.wrap(
        text, WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _in_table(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def _code(text: str) -> str:
    return f"`{_in_table(text)}`" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    contract_types.write()
