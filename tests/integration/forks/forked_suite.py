"""A suite of a user whose tests run in forked children, beside a store that the collecting process opened.

test_forked_suites.py runs it in a pytest of its own. The tests run in the order of this file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from forked_store import Parts, config_of, outcome_of, sessions, tile
from test_forked_stores import assert_refused

import aerotile
from aerotile.adapters.composition import runtime_of

CONFIG = config_of(os.environ["FORKED_SUITE_ROOT"], os.environ["FORKED_SUITE_DSN"])
AT_IMPORT = Parts(CONFIG, 1)
AT_IMPORT.describe()
SESSIONS = sessions(runtime_of(CONFIG).dsn)


@pytest.fixture(scope="session")
def shared() -> Iterator[Parts]:
    """Opened by the first test that asks for it; closed by each child that inherits it and by the parent."""
    yield Parts(CONFIG, 100)
    aerotile.close_runtimes()


def test_the_parent_opens_what_its_children_inherit(shared: Parts) -> None:
    assert shared.store is AT_IMPORT.store


@pytest.mark.forked
@pytest.mark.parametrize("turn", range(3))
def test_a_child_is_refused_what_it_inherited(shared: Parts, turn: int) -> None:
    assert_refused({name: outcome_of(call) for name, call in AT_IMPORT.calls().items()})


@pytest.mark.forked
@pytest.mark.parametrize("turn", range(3))
def test_a_child_that_builds_again_writes(turn: int) -> None:
    own = Parts(CONFIG, 2_000 + turn)
    assert own.store is not AT_IMPORT.store
    assert own.store.tile_exists(AT_IMPORT.tile_id)
    aerotile.close_runtimes()


@pytest.mark.forked
def test_a_child_that_is_killed_amid_its_work() -> None:
    Parts(CONFIG, 3_000)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_parent_goes_on(shared: Parts) -> None:
    assert sessions(runtime_of(CONFIG).dsn) >= SESSIONS
    pixels, metadata = tile(4_000)
    shared.store.write_tile(pixels, metadata)
    assert shared.store.read_tile_bytes(metadata.tile_id) == pixels
    stored = aerotile.build_tile_metadata_store(CONFIG)
    assert all(stored.get_by_id(tile(x)[1].tile_id) for x in (1, 2_000, 2_001, 2_002, 3_000))
