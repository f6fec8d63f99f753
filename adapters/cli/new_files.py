"""Files that a command makes for other programs: none of them replaces another file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadInputError

if TYPE_CHECKING:
    from ..config.settings import AerotileConfig


def check_new_file(path: Path, config: AerotileConfig) -> None:
    """Raise `BadInputError` where no file can be made: it is there, its folder is not, or is the store's."""
    if path.exists() or path.is_symlink():
        raise BadInputError(f"{path} is there, and nothing is replaced", remedy="name another, or remove it")
    if not path.absolute().parent.is_dir():
        raise BadInputError(f"no folder {path.absolute().parent}", remedy="make it, or name another")
    refuse_own_folders(path, config)


def refuse_own_folders(path: Path, config: AerotileConfig) -> None:
    """Raise `BadInputError` for a place in the store's own folders, whose next open may remove it."""
    place = path.resolve()
    for folder in config.own_folders:
        if place.is_relative_to(folder.resolve()):
            raise BadInputError(
                f"{path} lies in {folder}, a folder of the store's own files", remedy="name a place elsewhere"
            )
