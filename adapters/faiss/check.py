"""Checking every generation of the index, also those kept for a rollback."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...domain.errors import IndexUnavailableError
from .described_contents import read_contents
from .generations import IndexGenerations
from .mapped_index import open_mapped_index


@attrs.frozen
class GenerationFinding:
    """A generation that can't be used, or a pointer that names no generation."""

    generation: str
    """The generation's name, or `current` for the pointer."""
    detail: str
    remedy: str
    in_use: bool


def check_generations(root: Path) -> list[GenerationFinding]:
    """Open and hash every generation below `root`; returns the defects. Nothing is changed.

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
            mapped = open_mapped_index(generations.folder(name), ef_search=16)
            if mapped.areas is not None:
                mapped.areas.verify()
            read_contents(generations.folder(name), mapped.metadata)
        except IndexUnavailableError as error:
            findings.append(GenerationFinding(name, str(error), error.remedy or "", in_use=name == current))
    return findings
