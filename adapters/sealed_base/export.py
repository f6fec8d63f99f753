"""Copying a generation to another folder of bases, such as one on a stick: whole, durable, and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ...domain.errors import BaseSealError, BaseUnavailableError
from ...domain.values.counted import counted
from ..files.atomic_file import new_file
from ..files.generations import open_generation_file
from ..files.refused_writes import refused_by_disk
from ..signatures import Trust
from .check import check_base
from .generations import BaseGenerations, SignedManifest
from .manifest import DIGESTS_FILE, MANIFEST_FILE
from .mapped_base import MappedBase, open_base
from .seal import FILE_MODE

_CHUNK_BYTES = 4 << 20


def export_generation(
    generations: BaseGenerations,
    name: str,
    target: Path,
    trust: Trust,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SignedManifest:
    """Copy a generation below `target`, which may then be used as a folder of bases.

    The copy is hashed whole before it gets its name; an interrupted one is removed by the next export or seal
    there. `progress(done, total)` counts bytes that were copied. Raises `BaseUnavailableError` for a
    generation that can't be read, `BaseSealError` for a copy that can't be written, differs, or is there.
    """
    source = open_base(generations, name, trust, require_signature=False)
    copies = BaseGenerations(target)
    what = f"{name} can't be copied to {target}"
    with refused_by_disk(BaseSealError, what, then="export again"), copies.locked():
        if name in copies.names():
            raise BaseSealError(
                f"{target} holds a generation {name}",
                remedy="export to another folder, or remove that one",
            )
        with copies.building(int(name)) as partial:
            _copy(source, partial, progress)
            check_copy(copies, partial, name, trust)
    return source.signed


def _copy(base: MappedBase, target: Path, progress: Callable[[int, int], None]) -> None:
    source, names = base.folder, (*base.signed.manifest.file_names, DIGESTS_FILE, MANIFEST_FILE)
    total, done = sum((source / name).stat().st_size for name in names), 0
    for name in names:
        with new_file(target / name, FILE_MODE) as file:
            for chunk in _chunks(source, name):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)


def _chunks(folder: Path, name: str) -> Iterator[bytes]:
    with os.fdopen(open_generation_file(folder, name), "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


class _CopyUnderWay(BaseGenerations):
    """Generations whose one is a copy that has no name yet."""

    def __init__(self, root: Path, partial: Path) -> None:
        super().__init__(root)
        self._partial = partial

    def folder(self, name: str) -> Path:
        return self._partial


def check_copy(copies: BaseGenerations, partial: Path, name: str, trust: Trust) -> None:
    """Hash a generation that was copied into `partial`, before it gets its name.

    Raises `BaseSealError` when it is not as its manifest says.
    """
    under_way = _CopyUnderWay(copies.root, partial)
    try:
        findings = check_base(open_base(under_way, name, trust, require_signature=False))
    except BaseUnavailableError as error:
        raise BaseSealError(f"the copy does not read back: {error}") from error
    if findings:
        raise BaseSealError(
            f"the copy of {name} differs in {counted(len(findings), 'place')} (first: {findings[0].what}: "
            f"{findings[0].detail})",
            remedy="check the original with aerotile base verify, then export again",
        )
