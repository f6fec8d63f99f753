"""Whether a flight record can be written: asked before a flight, by writing."""

from __future__ import annotations

import secrets
from pathlib import Path

from ..files.atomic_file import new_file
from ..files.durable_folder import make_folder_durably


def record_fault(folder: Path) -> str | None:
    """Why no record can be written into a folder, which is made where it lacks; None when one can."""
    probe = folder / f".ready-{secrets.token_hex(4)}.tmp"
    try:
        make_folder_durably(folder, 0o750)
        with new_file(probe, 0o600) as file:
            file.write(bytes(4096))
        probe.unlink()
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return None
