"""Files that a command makes for other programs: none of them replaces another file."""

from __future__ import annotations

from pathlib import Path

from .errors import BadInputError


def check_new_file(path: Path) -> None:
    """Raise `BadInputError` where the file can't be made: it is there already, or its folder is not."""
    if path.exists() or path.is_symlink():
        raise BadInputError(f"{path} is there, and nothing is replaced", remedy="name another, or remove it")
    if not path.absolute().parent.is_dir():
        raise BadInputError(f"no folder {path.absolute().parent}", remedy="make it, or name another")
