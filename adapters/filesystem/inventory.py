"""Taking the inventory of the store's folders without following a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from ...domain.inventory import FoundFile, FoundKind, FoundVariant, TileInventory
from ...domain.tiles import TileSource
from ...ext import walk_variant
from .disk_errors import store_unavailable
from .folders import OpenFolder, open_below
from .layout import flight_of, temporary_tile, variant_folder

_GONE_OR_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def take_inventory(root: OpenFolder, root_path: Path) -> TileInventory:
    """Every file of the store below `root`; folders that vanish meanwhile are passed by.

    Other threads run meanwhile. Raises `StoreUnavailableError`.
    """
    variants: list[FoundVariant] = []
    temporaries: list[FoundFile] = []
    for source, flight_id in _variants(root, root_path):
        path = variant_folder(source, flight_id)
        folder = _open(root, root_path, path)
        if folder is None:
            continue
        try:
            tiles, sidecars, hidden = walk_variant(folder.fileno())
        except OSError as error:
            place = root_path / path / (error.filename or "")
            raise store_unavailable("list folder", place, error) from error
        variants.append(FoundVariant(source, flight_id, tiles, sidecars))
        for name in hidden:
            tile_id = temporary_tile(source, flight_id, name)
            if tile_id is not None:
                temporaries.append(FoundFile(FoundKind.TEMPORARY, tile_id, f"{path}/{name}"))
    return TileInventory(tuple(variants), tuple(temporaries))


def _variants(root: OpenFolder, root_path: Path) -> Iterator[tuple[TileSource, UUID | None]]:
    """Every source and flight that may have a folder."""
    for source in TileSource:
        if source is not TileSource.ONBOARD:
            yield source, None
            continue
        folder = _open(root, root_path, source.value)
        if folder is None:
            continue
        try:
            with os.scandir(folder.fileno()) as entries:
                names = [entry.name for entry in entries]
        except OSError as error:
            raise store_unavailable("list folder", root_path / source.value, error) from error
        for name in names:
            flight_id = flight_of(name)
            if flight_id is not None:
                yield source, flight_id


def _open(root: OpenFolder, root_path: Path, path: str) -> OpenFolder | None:
    """The folder at `path`; None when there is none. Raises `StoreUnavailableError`."""
    try:
        return open_below(root, path)
    except OSError as error:
        if error.errno in _GONE_OR_NO_FOLDER:
            return None
        raise store_unavailable("list folder", root_path / path, error) from error
