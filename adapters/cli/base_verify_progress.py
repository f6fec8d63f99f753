"""The state of a check of a base on the disk: `aerotile base verify --resume` goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..sealed_base.check import BaseCheck, BaseFinding
from .errors import BadInputError
from .progress_file import ProgressFile

_FILE = "base-verify-progress.json"


class BaseVerifyProgress:
    """Saves an unfinished check of one generation, and reads it back; for one process."""

    def __init__(self, root: Path, identity: str) -> None:
        """`identity`: the SHA-256 of the generation's manifest, which binds every byte that is checked."""
        self._identity = identity
        self.check = BaseCheck()
        self._file = ProgressFile(root / _FILE, self._facts, "aerotile base verify")
        self.save_now_and_then = self._file.save_now_and_then
        self.save = self._file.save
        self.finish = self._file.remove

    def resume(self) -> None:
        """Read the check that an earlier run left. Raises `BadInputError` without one of this generation."""
        content = self._file.read()
        try:
            identity, self.check = _read_check(content)
        except (ValueError, TypeError, KeyError) as error:
            raise self._file.no_check() from error
        if identity != self._identity:
            raise BadInputError(f"{self._file.path} is about another generation", remedy=self._file.remedy)

    def _facts(self) -> dict[str, Any]:
        return {
            "manifest_sha256": self._identity,
            "parts": self.check.parts,
            "findings": [[finding.what, finding.detail] for finding in self.check.findings],
            "damaged": self.check.damaged,
        }


def _read_check(content: Any) -> tuple[str, BaseCheck]:
    """The manifest's SHA-256, and the check. Raises `ValueError`, `TypeError`, `KeyError`."""
    identity, parts = content["manifest_sha256"], content["parts"]
    if not isinstance(identity, str) or type(parts) is not int or not 0 <= parts < 1 << 48:
        raise ValueError("no manifest and number of parts")
    findings = [BaseFinding(what, detail) for what, detail in content["findings"]]
    damaged = [(begin, end) for begin, end in content["damaged"]]
    if not all(isinstance(text, str) for finding in findings for text in (finding.what, finding.detail)):
        raise ValueError("not a text")
    if not all(type(byte) is int and 0 <= byte < 1 << 48 for part in damaged for byte in part):
        raise ValueError("no bytes of a file")
    return identity, BaseCheck(parts, findings, damaged)
