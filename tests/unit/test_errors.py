"""The error tree: flight code catches by family, so who belongs to which is a promise."""

from __future__ import annotations

import ast
import inspect
import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import aerotile
from aerotile.domain import errors
from aerotile.domain.errors import (
    AerotileError,
    BaseSealError,
    BaseUnavailableError,
    CacheBudgetExhaustedError,
    CaptureTimeInFutureError,
    ConfigurationError,
    ContentHashMismatchError,
    DuplicateTileError,
    EvictionRefusedError,
    FreshnessRejectionError,
    ImageryPlaceError,
    ImagerySourceError,
    IndexBuildError,
    IndexUnavailableError,
    ReadDeadlineError,
    RuntimeNotAvailableError,
    SealedTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from aerotile.domain.values.sectors import SEEDED_RULES, SectorClassification
from aerotile.domain.values.tiles import TileId, TileSource

TILE = TileId(3, 4, 2, TileSource.IMPORTED)
NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
CONFLICT_RULE = SEEDED_RULES[0]

FLIGHT_FAMILY = (
    TileNotFoundError,
    TileMetadataError,
    ContentHashMismatchError,
    FreshnessRejectionError,
    CacheBudgetExhaustedError,
    IndexUnavailableError,
    BaseUnavailableError,
    EvictionRefusedError,
    SealedTileError,
    StoreUnavailableError,
)


@pytest.mark.parametrize("member", FLIGHT_FAMILY)
def test_what_can_happen_in_flight_is_a_tile_cache_error(member: type[Exception]) -> None:
    assert member.__bases__ == (TileCacheError,)


@pytest.mark.parametrize(
    "outsider",
    [
        IndexBuildError,
        BaseSealError,
        ImageryPlaceError,
        ImagerySourceError,
        RuntimeNotAvailableError,
        ConfigurationError,
    ],
)
def test_what_can_only_happen_on_the_ground_is_outside_the_family(outsider: type[Exception]) -> None:
    assert not issubclass(outsider, TileCacheError)
    assert issubclass(outsider, AerotileError)


@pytest.mark.parametrize("kind", [DuplicateTileError, CaptureTimeInFutureError])
def test_the_finer_metadata_errors_are_metadata_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, TileMetadataError)


def test_a_read_that_came_too_late_is_a_store_that_does_not_answer() -> None:
    assert issubclass(ReadDeadlineError, StoreUnavailableError)


def test_errors_of_different_kinds_do_not_catch_each_other() -> None:
    for one in FLIGHT_FAMILY:
        assert [other for other in FLIGHT_FAMILY if issubclass(one, other)] == [one]


def test_every_error_of_the_module_is_drawn_in_the_tree_at_its_top() -> None:
    drawing = inspect.getdoc(errors) or ""
    defined = {
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value is not AerotileError
    }
    assert {error.__name__ for error in defined} == {
        word for word in drawing.replace("─", " ").split() if word.endswith("Error")
    }


@pytest.mark.parametrize(
    ("build", "fields"),
    [
        (lambda: TileNotFoundError(TILE), {"tile_id": TILE}),
        (lambda: TileMetadataError("no JPEG", tile_id=TILE), {"tile_id": TILE, "remedy": None}),
        (lambda: DuplicateTileError(TILE), {"tile_id": TILE}),
        (
            lambda: CaptureTimeInFutureError(NOON + timedelta(hours=1), NOON, tile_id=TILE),
            {"captured_at": NOON + timedelta(hours=1), "now": NOON, "tile_id": TILE},
        ),
        (
            lambda: ContentHashMismatchError("length", expected=10, actual=9, tile_id=TILE),
            {"what": "length", "expected": 10, "actual": 9, "tile_id": TILE},
        ),
        (
            lambda: FreshnessRejectionError(
                TILE, 15_724_800.0, SectorClassification.ACTIVE_CONFLICT, CONFLICT_RULE
            ),
            {
                "tile_id": TILE,
                "age_seconds": 15_724_800.0,
                "classification": SectorClassification.ACTIVE_CONFLICT,
                "rule": CONFLICT_RULE,
            },
        ),
        (
            lambda: CacheBudgetExhaustedError(30, 100, 90),
            {"needed_bytes": 30, "budget_bytes": 100, "total_bytes": 90},
        ),
        (
            lambda: ImageryPlaceError("is a PNG cut short", place=(3, 4, 2), kind="a damaged PNG"),
            {"place": (3, 4, 2), "kind": "a damaged PNG", "remedy": None},
        ),
        (
            lambda: ReadDeadlineError(TILE, 0.5, stalled=True),
            {"tile_id": TILE, "deadline_s": 0.5, "stalled": True},
        ),
    ],
)
def test_an_error_carries_its_facts_as_fields(
    build: Callable[[], AerotileError], fields: dict[str, object]
) -> None:
    error = build()
    assert {name: getattr(error, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (TileNotFoundError(TILE), ["imported/3/4/2"]),
        (DuplicateTileError(TILE), ["imported/3/4/2"]),
        (CaptureTimeInFutureError(NOON, NOON), [NOON.isoformat()]),
        (
            ContentHashMismatchError("SHA-256", expected="a1", actual="b2", tile_id=TILE),
            ["a1", "b2", "SHA-256"],
        ),
        (
            FreshnessRejectionError(TILE, 181 * 86_400.0, CONFLICT_RULE.classification, CONFLICT_RULE),
            ["181 days", "180 days", "active_conflict"],
        ),
        (CacheBudgetExhaustedError(30, 100, 90), ["30", "100", "90"]),
        (ReadDeadlineError(TILE, 0.5), ["imported/3/4/2", "0.5 s"]),
    ],
)
def test_a_message_is_one_line_that_shows_the_facts(error: AerotileError, facts: list[str]) -> None:
    assert "\n" not in str(error)
    for fact in facts:
        assert fact in str(error)


def test_an_error_keeps_its_cause_and_its_remedy() -> None:
    driver_error = OSError("connection refused")
    with pytest.raises(StoreUnavailableError) as translated:
        raise StoreUnavailableError("the database does not answer", remedy="start it") from driver_error
    assert translated.value.__cause__ is driver_error
    assert translated.value.remedy == "start it"


def test_an_error_explains_itself_on_one_line() -> None:
    error = StoreUnavailableError("the disk is full", remedy="make room")
    assert error.explained == "the disk is full — make room"
    assert StoreUnavailableError("the disk is full").explained == "the disk is full"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes of exceptions came with CPython 3.11")
def test_a_logged_traceback_shows_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise StoreUnavailableError("the disk is full", remedy="make room")
    except StoreUnavailableError:
        logging.getLogger("aerotile").exception("not stored")
    assert caplog.text.endswith("StoreUnavailableError: the disk is full\nremedy: make room\n")


def logged_without_remedy(source: str) -> list[str]:
    """The calls of a logger that are given one of our errors as it is, or its text."""
    found = []
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
            continue
        if not set(re.findall(r"\w+Error", ast.unparse(handler.type))) & set(aerotile.__all__):
            continue
        for call in ast.walk(handler):
            if isinstance(call, ast.Call) and re.match(r"_log(ger)?\.\w+$", ast.unparse(call.func)):
                texts = [ast.unparse(argument) for argument in call.args]
                found += [
                    ast.unparse(call) for text in texts if text in (handler.name, f"str({handler.name})")
                ]
    return found


def test_whatever_is_logged_of_an_error_has_its_remedy() -> None:
    root = Path(__file__).parents[2]
    sources = [path for folder in ("domain", "adapters") for path in root.joinpath(folder).rglob("*.py")]
    assert [call for path in sources for call in logged_without_remedy(path.read_text("utf-8"))] == []
    bare = "try:\n    f()\nexcept StoreUnavailableError as e:\n    _log.info('%s', e)\n"
    assert logged_without_remedy(bare) == ["_log.info('%s', e)"]
