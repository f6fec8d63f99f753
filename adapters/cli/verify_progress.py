"""How far a check has come, on the disk, so that `aerotile verify --resume` goes on after an interruption."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from ..files.atomic_file import atomic_file
from ..files.regular_file import read_regular
from .errors import BadInputError

_logger = logging.getLogger(__name__)
_FILE = "verify-progress.json"
_MOST_BYTES = 256 << 20
"""Room for half a million findings; nothing larger is read into memory."""
_SAVE_EVERY_S = 2.0
_MODE = 0o640
"""Whoever may write it may have a later check pass by what is damaged."""


class VerifyProgress:
    """The place that an unfinished check has reached and what it has found; for one process."""

    def __init__(self, root: Path, store_id: UUID) -> None:
        self._path = root / _FILE
        self._store_id = str(store_id)
        self.place = 0
        """Zoom and Z-curve of the tile to go on with."""
        self.findings: list[dict[str, Any]] = []
        self._saved_at = time.monotonic()
        self._warned = False

    def resume(self) -> None:
        """Take up what an earlier run left. Raises `BadInputError` when there is nothing of this store's."""
        remedy = "run aerotile verify without --resume"
        try:
            left = json.loads(read_regular(self._path, _MOST_BYTES))
        except FileNotFoundError:
            raise BadInputError("there is no interrupted check to go on with", remedy=remedy) from None
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInputError(f"{self._path} can't be read: {reason}", remedy=remedy) from error
        if not _is_progress(left):
            raise BadInputError(f"{self._path} is not what a check leaves", remedy=remedy)
        if left["store_id"] != self._store_id:
            raise BadInputError(f"{self._path} is about another store", remedy=remedy)
        self.place, self.findings = left["place"], left["findings"]

    def reach(self, place: int) -> None:
        """Note how far the check is; saved every now and then, so a resumed check repeats a few tiles.

        A disk that is full or read-only does not end the check: it is a reason to make one.
        """
        self.place = place
        if time.monotonic() - self._saved_at >= _SAVE_EVERY_S:
            try:
                self.save()
            except OSError as error:
                self._saved_at = time.monotonic()
                self._warn("can't be written", error)

    def save(self) -> None:
        """Write the file anew, by rename. Raises `OSError`."""
        facts = {"store_id": self._store_id, "place": self.place, "findings": self.findings}
        # Two checks of one store may run at the same time.
        temporary = f".{_FILE}.{secrets.token_hex(4)}.tmp"
        with atomic_file(self._path, _MODE, durable=False, temporary=temporary) as file:
            file.write(json.dumps(facts).encode("ascii"))
        self._saved_at = time.monotonic()

    def finish(self) -> None:
        """The check came to its end: there is nothing to resume."""
        try:
            self._path.unlink(missing_ok=True)
        except IsADirectoryError:
            pass  # nobody can resume from one
        except OSError as error:
            self._warn("can't be removed", error)

    def _warn(self, what: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("%s %s: %s", self._path, what, error.strerror)


def _is_progress(left: Any) -> bool:
    return (
        isinstance(left, Mapping)
        and isinstance(left.get("store_id"), str)
        and type(left.get("place")) is int
        and 0 <= left["place"] < 1 << 49
        and isinstance(left.get("findings"), list)
        and all(
            isinstance(finding, dict)
            and isinstance(finding.get("mended"), bool)
            and isinstance(finding.get("fetch_again"), bool)
            and all(isinstance(finding.get(name), str) for name in ("kind", "tile", "detail", "remedy"))
            for finding in left["findings"]
        )
    )
