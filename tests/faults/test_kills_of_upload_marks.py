"""kill -9 before every system call of an upload: the ledger, the request, the provider's answer, the mark.

TEST_KILLS sets how often it is killed (default 10); `all`: once before every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from killed_store import KilledStore
from nursery import EVERY_CALL, moments

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]

KIND = "kill at a system call: upload"
SELECT_ONBOARD = """
    SELECT tile_uuid::text, content_sha256, uploaded_at IS NOT NULL FROM tiles WHERE source = 'onboard'
"""


def test_an_upload_that_is_killed_before_any_call_marks_no_tile_but_on_the_providers_word(
    make_killed_store: Callable[..., KilledStore], scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    store = make_killed_store(KIND, url=provider.url)

    def live(kill_at: int | None) -> tuple[str, ...]:
        ending = store.live("upload", kill_at)
        rows = store.connection.execute(SELECT_ONBOARD).fetchall()
        marked = {tile: sha256 for tile, sha256, is_marked in rows if is_marked}
        unfounded = marked.items() - provider.stored.items()
        store.tally.add(KIND, 0, torn=len(unfounded))
        assert unfounded == set()
        assert not ending.done or len(marked) == len(rows)
        assert set(provider.accepted.values()) <= {1}
        return ending.calls

    calls = max((live(None) for _ in range(2)), key=len)
    for moment in moments(calls, store.chance):
        live(moment)
    live(None)
    store.finish()
    rows = store.connection.execute(SELECT_ONBOARD).fetchall()
    assert provider.stored == {tile: sha256 for tile, sha256, _ in rows}
    assert all(is_marked for _, _, is_marked in rows)
    assert store.kills > 0
