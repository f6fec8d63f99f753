"""The parts of a runtime are all closed, also behind one that fails."""

from __future__ import annotations

import pytest

import aerotile
from aerotile.adapters.composition.parts import Parts


def test_a_part_that_fails_to_close_leaves_no_other_one_open() -> None:
    parts, closed = Parts(aerotile.AerotileConfig()), []

    def fail() -> None:
        raise OSError("the disk is gone")

    for close in (lambda: closed.append("first"), fail, lambda: closed.append("last")):
        parts._closing(None, close)
    with pytest.raises(OSError, match="the disk is gone"):
        parts.close()
    assert closed == ["last", "first"]
    parts.close()
    assert closed == ["last", "first"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, TimeoutError])
def test_a_part_whose_closing_was_interrupted_is_closed_by_the_next_call(raised: type[BaseException]) -> None:
    parts, closed, interrupts = Parts(aerotile.AerotileConfig()), [], [raised()]

    def close() -> None:
        if interrupts:
            raise interrupts.pop()
        closed.append("interrupted")

    for part in (lambda: closed.append("first"), close, lambda: closed.append("last")):
        parts._closing(None, part)
    with pytest.raises(raised):
        parts.close()
    parts.close()
    assert closed == ["last", "first", "interrupted"]
