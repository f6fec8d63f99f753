"""Where the recall list in force comes from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import attrs

from ..values.recall_list import RecallList


@attrs.frozen
class RecallInForce:
    """A list whose signatures were checked."""

    recalls: RecallList
    identity: str
    """The SHA-256 of what was signed."""
    signers: tuple[str, ...] = ()
    """The pinned public keys that signed it."""


class RecallSource(Protocol):
    """The recall list that an operator put in force; another process may put a newer one in force."""

    def mark(self) -> Hashable:
        """Something that differs once another list is in force; takes microseconds and never raises."""

    def read(self) -> RecallInForce | None:
        """The list in force; None when none ever was. Raises `RecallListError`, `OSError`."""
