"""Checking every generation of the index, the ones kept for a rollback too."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...domain.errors import IndexUnavailableError
from .generations import IndexGenerations
from .mapped_index import open_mapped_index


@attrs.frozen
class GenerationFinding:
    """A generation that can't be used, or a pointer that names none."""

    generation: str
    """Its name, or `current` for the pointer."""
    detail: str
    remedy: str
    in_use: bool


def check_generations(root: Path) -> list[GenerationFinding]:
    """Open and hash every generation below `root`; what is wrong. Nothing is changed.

    Raises `IndexUnavailableError` when the generations can't be listed.
    """
    generations = IndexGenerations(root)
    findings: list[GenerationFinding] = []
    current: str | None = None
    try:
        current = generations.current()
    except IndexUnavailableError as error:
        findings.append(GenerationFinding("current", str(error), error.remedy or "", in_use=True))
    for name in generations.names():
        try:
            open_mapped_index(generations.folder(name), ef_search=16)
        except IndexUnavailableError as error:
            findings.append(GenerationFinding(name, str(error), error.remedy or "", in_use=name == current))
    return findings
