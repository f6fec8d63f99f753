"""The public names of Aerotile with what their annotations name, for the tests of the API and its page."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, get_args

import attrs

import aerotile


@attrs.frozen
class Annotation:
    """One annotation of a public name: where it stands, its text, and the module whose names it uses."""

    where: str
    text: str
    module: str


def public_names() -> dict[str, Any]:
    return {name: getattr(aerotile, name) for name in aerotile.__all__}


def annotations_of(name: str, value: Any) -> Iterator[Annotation]:
    """Every annotation that a user of `aerotile.NAME` meets: parameters, results, properties, fields."""
    if is_alias(value):
        yield Annotation(name, value, alias_module(name))
        return
    if not inspect.isclass(value):
        yield from _of_callable(name, value)
        return
    for base in value.__mro__:
        if not base.__module__.startswith("aerotile."):
            continue
        for field in _own_fields(base):
            yield Annotation(f"{name}.{field.name}", str(field.type), base.__module__)
        for member, function in _own_methods(base):
            yield from _of_callable(f"{name}.{member}", function)


def _own_fields(kind: type) -> Iterator[attrs.Attribute[Any]]:
    if attrs.has(kind):
        yield from (f for f in attrs.fields(kind) if not f.inherited and not f.name.startswith("_"))


def _own_methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and _is_met_by_users(kind, name):
            yield name, function


def _is_met_by_users(kind: type, name: str) -> bool:
    if name == "__init__":
        # Errors keep their arguments as fields. Fields of attrs classes are listed as such, and what has
        # neither is made by Aerotile alone.
        return issubclass(kind, BaseException)
    return not name.startswith("_") or name in ("__enter__", "__iter__", "__getitem__")


def _of_callable(where: str, function: Any) -> Iterator[Annotation]:
    for parameter, text in inspect.get_annotations(function).items():
        if parameter != "return" or text != "None":
            yield Annotation(f"{where}({parameter})", str(text), function.__module__)


def types_named_by(annotation: Annotation) -> Iterator[type]:
    """The classes of Aerotile that an annotation names, those behind an alias included."""
    for node in ast.walk(ast.parse(annotation.text, mode="eval")):
        if isinstance(node, ast.Name):
            yield from _classes_in(_meaning(annotation, node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from types_named_by(attrs.evolve(annotation, text=node.value))


def _meaning(annotation: Annotation, name: str) -> Any:
    namespace = _namespace(annotation.module)
    return namespace[name] if name in namespace else getattr(builtins, name)


def _classes_in(value: Any) -> Iterator[type]:
    if inspect.isclass(value) and value.__module__.startswith("aerotile."):
        yield value
    for argument in get_args(value):
        yield from _classes_in(argument)


@cache
def _namespace(module: str) -> dict[str, Any]:
    """The names of a module, those that are imported for type checkers alone included."""
    loaded = sys.modules[module]
    names = dict(vars(loaded))
    for guard in ast.walk(ast.parse(inspect.getsource(loaded))):
        if isinstance(guard, ast.If) and ast.unparse(guard.test) == "TYPE_CHECKING":
            for statement in guard.body:
                names |= _imported_by(statement, loaded.__package__)
    return names


def _imported_by(statement: ast.stmt, package: str | None) -> dict[str, Any]:
    names: dict[str, Any] = {}
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            names[alias.asname or alias.name] = import_module(alias.name)
    elif isinstance(statement, ast.ImportFrom):
        source = import_module(f"{'.' * statement.level}{statement.module or ''}", package)
        for alias in statement.names:
            names[alias.asname or alias.name] = getattr(source, alias.name)
    return names


def is_alias(value: Any) -> bool:
    """Whether a public name is an alias for annotations, which is text when the program runs."""
    return isinstance(value, str)


def alias_module(name: str) -> str:
    """The module that a public alias stands in."""
    return import_module(aerotile._MODULE_OF[name], "aerotile").__name__


def alias_meaning(name: str) -> str:
    """The text below a public alias."""
    body = ast.parse(inspect.getsource(sys.modules[alias_module(name)])).body
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == name:
            assert isinstance(following, ast.Expr)
            assert isinstance(following.value, ast.Constant)
            return inspect.cleandoc(str(following.value.value))
    raise AssertionError(f"{name} is no alias")


def is_enumeration(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Enum)


def is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)
