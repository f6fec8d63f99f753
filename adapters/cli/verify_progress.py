"""The state of a check on the disk, so that `aerotile verify --resume` goes on after an interruption."""

from __future__ import annotations

import json
import logging
import secrets
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from ...domain.store.check import StoreCheck
from ...domain.store.verify import Finding, FindingKind
from ...domain.values.tiles import parse_tile_id
from ..checked_tiles import CHECKED_TILES, CheckedTiles
from ..files.atomic_file import atomic_file
from ..files.regular_file import read_regular
from .errors import BadInputError

_logger = logging.getLogger(__name__)
_FILE = "verify-progress.json"
_MOST_BYTES = 256 << 20
"""Room for half a million findings; nothing larger is read into memory."""
_SAVE_EVERY_S = 2.0
_MODE = 0o640
"""A user who may write the file can make a later check skip damaged tiles."""


class VerifyProgress:
    """Saves an unfinished check now and then, and reads it back; for one process."""

    def __init__(self, root: Path, store_id: UUID) -> None:
        self._root = root
        self._path = root / _FILE
        self._store_id = str(store_id)
        self.check = StoreCheck()
        self.checked = CheckedTiles()
        self._saved_at = time.monotonic()
        self._warned = False

    def begin(self) -> None:
        """Begin anew: what an earlier check found of each tile counts no more."""
        try:
            self.checked.begin(self._root)
        except OSError as error:
            _logger.warning("%s can't be removed: %s", self._root / CHECKED_TILES, error.strerror)

    def resume(self) -> None:
        """Read the check that an earlier run left. Raises `BadInputError` without one of this store."""
        remedy = "run aerotile verify without --resume"
        try:
            content = json.loads(read_regular(self._path, _MOST_BYTES))
        except FileNotFoundError:
            raise BadInputError("there is no interrupted check to go on with", remedy=remedy) from None
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInputError(f"{self._path} can't be read: {reason}", remedy=remedy) from error
        try:
            store_id, self.check = _read_check(content)
        except (ValueError, TypeError, KeyError) as error:
            raise BadInputError(f"{self._path} is not what a check leaves", remedy=remedy) from error
        if store_id != self._store_id:
            raise BadInputError(f"{self._path} is about another store", remedy=remedy)
        self.checked.resume(self._root, UUID(self._store_id))

    def save_now_and_then(self) -> None:
        """Save the check when the last time is seconds ago, so that a resumed check repeats a few tiles.

        A full or read-only disk does not end the check: such a disk is a reason to make one.
        """
        if time.monotonic() - self._saved_at >= _SAVE_EVERY_S:
            try:
                self.save()
            except OSError as error:
                self._saved_at = time.monotonic()
                self._warn("can't be written", error)

    def save(self) -> None:
        """Write the file anew, by rename. Raises `OSError`."""
        facts = {
            "store_id": self._store_id,
            "place": self.check.position,
            "findings": [finding_facts(finding) for finding in self.check.findings],
        }
        # Two checks of one store may run at the same time.
        temporary = f".{_FILE}.{secrets.token_hex(4)}.tmp"
        with atomic_file(self._path, _MODE, durable=False, temporary=temporary) as file:
            file.write(json.dumps(facts).encode("ascii"))
        self._saved_at = time.monotonic()

    def leave(self) -> None:
        """Save the check, and what was found of each tile, when it is interrupted. Raises `OSError`."""
        self.save()
        self.checked.write(self._root, UUID(self._store_id))

    def finish(self) -> None:
        """Note what was found of each tile, and remove the file: a check at its end can't be resumed."""
        try:
            self.checked.forget(finding.tile_id for finding in self.check.findings if finding.fetch_again)
            self.checked.write(self._root, UUID(self._store_id))
        except OSError as error:
            _logger.warning("%s can't be written: %s", self._root / CHECKED_TILES, error.strerror)
        try:
            self._path.unlink(missing_ok=True)
        except IsADirectoryError:
            pass  # a folder can't be resumed from
        except OSError as error:
            self._warn("can't be removed", error)

    def _warn(self, what: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("%s %s: %s", self._path, what, error.strerror)


def finding_facts(finding: Finding) -> dict[str, Any]:
    """A finding as JSON shows it."""
    return {
        "kind": finding.kind.value,
        "tile": str(finding.tile_id),
        "detail": finding.detail,
        "mended": finding.mended,
        "fetch_again": finding.fetch_again,
        "kept_at": finding.kept_at,
        "remedy": finding.remedy,
    }


def _read_check(content: Any) -> tuple[str, StoreCheck]:
    """The store's id, and the check. Raises `ValueError`, `TypeError`, `KeyError` for anything else."""
    store_id, position = content["store_id"], content["place"]
    if not isinstance(store_id, str) or type(position) is not int or not 0 <= position < 1 << 49:
        raise ValueError("no store and position")
    if not isinstance(content["findings"], list):
        raise ValueError("no list of findings")
    return store_id, StoreCheck(position=position, findings=[_read_finding(f) for f in content["findings"]])


def _read_finding(facts: Any) -> Finding:
    kind, tile, detail = facts["kind"], facts["tile"], facts["detail"]
    mended, fetch_again, kept_at = facts["mended"], facts["fetch_again"], facts.get("kept_at")
    if not all(isinstance(text, str) for text in (kind, tile, detail, kept_at or "")):
        raise ValueError("not a text")
    if not isinstance(mended, bool) or not isinstance(fetch_again, bool):
        raise ValueError("not a flag")
    return Finding(FindingKind(kind), parse_tile_id(tile), detail, mended, fetch_again, kept_at)
