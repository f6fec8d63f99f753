"""Every type that a public call takes, returns or raises is public itself, so a user can name it."""

from __future__ import annotations

import inspect
import re

import pytest
from public_api import Annotation, annotations_of, public_names, types_named_by

import aerotile

MADE_BY_AEROTILE_ALONE = {
    "TileCatalogue": "the store hands out its own, for the composition root and the command line",
    "TileChange": "the feed of the composition root hands it to the store",
}
"""Types that public annotations name and that no user needs to name, each with the reason."""

BUILT_IN = {"ValueError", "TypeError", "KeyError", "BufferError", "NotImplementedError", "OverflowError"}


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
    raised = set(re.findall(r"`(\w+Error)`", inspect.getsource(public_names()[name])))
    assert raised - BUILT_IN <= set(aerotile.__all__)


def test_the_check_sees_through_aliases_quotes_and_imports_for_type_checkers() -> None:
    def named(text: str, module: str) -> set[str]:
        return {kind.__name__ for kind in types_named_by(Annotation("here", text, module))}

    assert named("tuple[Rules, ...] | None", "aerotile.domain.ports.sector_index") == {
        "FreshnessRule",
        "SectorClassification",
    }
    assert named("list['TileId']", "aerotile.domain.ports.tile_store") == {"TileId"}
    assert named("MigrationReport", "aerotile.adapters.composition") == {"MigrationReport"}
