"""The roots of the error tree."""

from __future__ import annotations

import sys

from ..values.visible_text import visible


class AerotileError(Exception):
    """The root: lets a person's interface tell our errors from bugs. Not a family to catch in flight."""

    remedy: str | None

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(visible(message))  # it quotes names of files and variables
        self.remedy = remedy = None if remedy is None else visible(remedy)
        if remedy is not None and sys.version_info >= (3, 11):
            self.add_note(f"remedy: {remedy}")  # so a logged traceback shows it

    @property
    def explained(self) -> str:
        """The message and the remedy on one line, for a log: `what was wrong — what to do`."""
        return str(self) if self.remedy is None else f"{self} — {self.remedy}"


class TileCacheError(AerotileError):
    """Anything that goes wrong with the cache in use."""
