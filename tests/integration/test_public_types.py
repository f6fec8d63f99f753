"""Every type that a public call takes, returns or raises is public itself, so a user can name it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from public_api import Annotation, alias_meaning, annotations_of, is_alias, public_names, types_named_by

import aerotile

MADE_BY_AEROTILE_ALONE = {
    "TileCatalogue": "the store hands out its own, for the composition root and the command line",
    "TileChange": "the feed of the composition root hands it to the store",
}
"""Types that public annotations name and that no user needs to name, each with the reason."""

REPOSITORY = Path(__file__).parents[2]
BUILT_IN = {
    "ValueError",
    "TypeError",
    "KeyError",
    "BufferError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
}


@pytest.mark.parametrize("name", aerotile.__all__)
def test_a_public_name_names_only_public_types(name: str) -> None:
    hidden = {
        annotation.where: kind.__name__
        for annotation in annotations_of(name, public_names()[name])
        for kind in types_named_by(annotation)
        if public_names().get(kind.__name__) is not kind and kind.__name__ not in MADE_BY_AEROTILE_ALONE
    }
    assert hidden == {}


def test_every_exception_is_still_needed() -> None:
    named = {
        kind.__name__
        for name, value in public_names().items()
        for annotation in annotations_of(name, value)
        for kind in types_named_by(annotation)
    }
    assert set(MADE_BY_AEROTILE_ALONE) <= named - set(aerotile.__all__)


@pytest.mark.parametrize("name", aerotile.__all__)
def test_every_error_that_a_docstring_names_is_public(name: str) -> None:
    value = public_names()[name]
    text = alias_meaning(name) if is_alias(value) else inspect.getsource(value)
    raised = set(re.findall(r"`(\w+Error)`", text))
    assert raised - BUILT_IN <= set(aerotile.__all__)


ONLY_ON_THE_GROUND = ("cli", "demo", "input_files", "provider")
"""Adapters of the command line and of the reference provider, whose errors no call of the library raises."""


def error_classes() -> dict[str, set[str]]:
    """The bases of every error class of the domain and of the adapters that the library uses."""
    found: dict[str, set[str]] = {}
    for folder in ("domain", "adapters"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if path.relative_to(REPOSITORY).parts[1] in ONLY_ON_THE_GROUND:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    found[node.name] = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return found


def test_every_error_of_the_tree_is_public() -> None:
    of_the_tree = {"AerotileError"}
    classes = error_classes()
    while more := {name for name, bases in classes.items() if bases & of_the_tree} - of_the_tree:
        of_the_tree |= more
    assert len(of_the_tree) > 15
    assert of_the_tree - set(aerotile.__all__) == set()


def test_the_check_sees_through_aliases_quotes_and_imports_for_type_checkers() -> None:
    def named(text: str, module: str) -> set[str]:
        return {kind.__name__ for kind in types_named_by(Annotation("here", text, module))}

    assert named("tuple[Rules, ...] | None", "aerotile.domain.ports.sector_index") == {
        "FreshnessRule",
        "SectorClassification",
    }
    assert named("list['TileId']", "aerotile.domain.ports.tile_store") == {"TileId"}
    assert named("MigrationReport", "aerotile.adapters.composition") == {"MigrationReport"}
