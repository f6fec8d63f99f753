"""The generations of the descriptor index, and the files of each."""

from __future__ import annotations

from pathlib import Path

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ..files.generations import GenerationFolders, GenerationKind

SIDECAR_FILE = "tiles.index.sha256"
REMEDY = "switch to another generation with `aerotile index rollback`, or build a new one"
INDEX_KIND = GenerationKind(
    noun="index",
    unavailable=IndexUnavailableError,
    busy=IndexBuildError,
    remedy=REMEDY,
    build_remedy="build a new one with `aerotile index build`",
)


class IndexGenerations(GenerationFolders):
    """The generations of a descriptor index; errors are `IndexUnavailableError` and `IndexBuildError`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, INDEX_KIND)
