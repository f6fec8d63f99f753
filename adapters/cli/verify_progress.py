"""The state of a check on the disk, so that `aerotile verify --resume` goes on after an interruption."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from uuid import UUID

from ...domain.store.check import StoreCheck
from ...domain.store.verify import Finding, FindingKind
from ...domain.values.tiles import parse_tile_id
from ..checked_tiles import CHECKED_TILES, CheckedTiles
from .errors import BadInputError
from .progress_file import ProgressFile

_logger = logging.getLogger(__name__)
_FILE = "verify-progress.json"


class VerifyProgress:
    """Saves an unfinished check now and then, and reads it back; for one process."""

    def __init__(self, root: Path, store_id: UUID) -> None:
        self._root = root
        self._store_id = str(store_id)
        self.check = StoreCheck()
        self.checked = CheckedTiles()
        self._file = ProgressFile(root / _FILE, self._facts, "aerotile verify")
        self.save = self._file.save
        self.save_now_and_then = self._file.save_now_and_then

    def begin(self) -> None:
        """Begin anew: what an earlier check found of each tile counts no more."""
        try:
            self.checked.begin(self._root)
        except OSError as error:
            _logger.warning("%s can't be removed: %s", self._root / CHECKED_TILES, error.strerror)

    def resume(self) -> None:
        """Read the check that an earlier run left. Raises `BadInputError` without one of this store."""
        content = self._file.read()
        try:
            store_id, self.check = _read_check(content)
        except (ValueError, TypeError, KeyError) as error:
            raise self._file.no_check() from error
        if store_id != self._store_id:
            raise BadInputError(f"{self._file.path} is about another store", remedy=self._file.remedy)
        self.checked.resume(self._root, UUID(self._store_id))

    def leave(self) -> None:
        """Save the check, and what was found of each tile, when it is interrupted. Raises `OSError`."""
        self._file.save()
        self.checked.write(self._root, UUID(self._store_id))

    def finish(self) -> None:
        """Note what was found of each tile, and remove the file: a check at its end can't be resumed."""
        try:
            self.checked.forget(finding.tile_id for finding in self.check.findings if finding.fetch_again)
            self.checked.write(self._root, UUID(self._store_id))
        except OSError as error:
            _logger.warning("%s can't be written: %s", self._root / CHECKED_TILES, error.strerror)
        self._file.remove()

    def _facts(self) -> dict[str, Any]:
        return {
            "store_id": self._store_id,
            "place": self.check.position,
            "findings": [finding_facts(finding) for finding in self.check.findings],
        }


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
