"""Taking the inventory of the store's folders without following a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import attrs
import numpy as np

from ...domain.values.inventory import FoundFile, FoundKind, FoundVariant, Places, TileInventory
from ...domain.values.tiles import TileSource
from ...ext import walk_variant
from .errors import store_unavailable
from .folders import OpenFolder, open_below
from .layout import flight_of, hidden_file, variant_folder

_GONE_OR_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_THREADS = 8
"""Folders read at a time, to keep the disk busy: eight threads read a cold store in a quarter of the time of
one."""


@attrs.frozen
class _Share:
    """The columns of one source and flight that one thread walks: every `parts`th."""

    source: TileSource
    flight_id: UUID | None
    part: int
    parts: int

    @property
    def folder(self) -> str:
        """Relative to the root."""
        return variant_folder(self.source, self.flight_id)


def take_inventory(root: OpenFolder, root_path: Path) -> TileInventory:
    """Every file of the store below `root`; folders that vanish meanwhile are skipped.

    Other threads can run meanwhile. Raises `StoreUnavailableError`.
    """
    variants: list[FoundVariant] = []
    found: dict[FoundKind, list[FoundFile]] = {FoundKind.TEMPORARY: [], FoundKind.REPLACEMENT: []}
    shares = list(_shares(root, root_path))
    with ThreadPoolExecutor(_THREADS, "inventory") as threads:
        walks = threads.map(lambda share: _walk(root, root_path, share), shares)
        for share, (tiles, sidecars, hidden) in zip(shares, walks, strict=True):
            variants.append(FoundVariant(share.source, share.flight_id, tiles, sidecars))
            for name in hidden:
                if (file := hidden_file(share.source, share.flight_id, name)) is not None:
                    found[file.kind].append(file)
    return TileInventory(
        tuple(variants), tuple(found[FoundKind.TEMPORARY]), tuple(found[FoundKind.REPLACEMENT])
    )


def _shares(root: OpenFolder, root_path: Path) -> Iterator[_Share]:
    """The shares of every source and flight that may have a folder. A flight is small: one share."""
    for source in TileSource:
        if source is TileSource.ONBOARD:
            for flight_id in _flights(root, root_path):
                yield _Share(source, flight_id, 0, 1)
        else:
            for part in range(_THREADS):
                yield _Share(source, None, part, _THREADS)


def _flights(root: OpenFolder, root_path: Path) -> Iterator[UUID]:
    path = TileSource.ONBOARD.value
    folder = _open(root, root_path, path)
    if folder is None:
        return
    try:
        with os.scandir(folder.fileno()) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise store_unavailable("list folder", root_path / path, error) from error
    for name in names:
        flight_id = flight_of(name)
        if flight_id is not None:
            yield flight_id


def _walk(root: OpenFolder, root_path: Path, share: _Share) -> tuple[Places, Places, list[str]]:
    """See `walk_variant`. The places are sorted here, in parallel, for the caller's comparison."""
    folder = _open(root, root_path, share.folder)
    if folder is None:
        return np.empty(0, np.int64), np.empty(0, np.int64), []
    try:
        tiles, sidecars, hidden = walk_variant(folder.fileno(), share.part, share.parts)
    except OSError as error:
        place = root_path / share.folder / (error.filename or "")
        raise store_unavailable("list folder", place, error) from error
    tiles.sort()
    sidecars.sort()
    return tiles, sidecars, hidden


def _open(root: OpenFolder, root_path: Path, path: str) -> OpenFolder | None:
    """The folder at `path`; None when there is none. Raises `StoreUnavailableError`."""
    try:
        return open_below(root, path)
    except OSError as error:
        if error.errno in _GONE_OR_NO_FOLDER:
            return None
        raise store_unavailable("list folder", root_path / path, error) from error
