"""What the last `aerotile base verify` found of a generation: a small file that `aerotile ready` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..files.atomic_file import atomic_file
from ..files.regular_file import read_regular
from .check import BaseFinding

CHECKED_BASES = "checked-bases.json"
"""The name of the file in the root folder."""
_MODE = 0o640
"""A user who may write the file can make a damaged base count as whole."""
_MOST_BYTES = 256 << 20


def write_checked_base(root: Path, identity: str, findings: Sequence[BaseFinding]) -> None:
    """Note a whole check of the generation with this SHA-256 of its manifest, by rename. Raises `OSError`."""
    with atomic_file(root / CHECKED_BASES, _MODE) as file:
        known = _read(root)  # as no other check changes it meanwhile
        known[identity] = [[finding.what, finding.detail] for finding in findings]
        file.write(json.dumps(known).encode("ascii"))


def read_checked_base(root: Path, identity: str) -> list[BaseFinding] | None:
    """The findings of the last check of a generation; None where it was never checked here."""
    findings = _read(root).get(identity)
    return None if findings is None else [BaseFinding(what, detail) for what, detail in findings]


def _read(root: Path) -> dict[str, list[list[str]]]:
    """What the file holds; nothing where there is none, or a damaged one."""
    try:
        known = json.loads(read_regular(root / CHECKED_BASES, _MOST_BYTES))
        return {
            str(identity): [[str(what), str(detail)] for what, detail in findings]
            for identity, findings in known.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
