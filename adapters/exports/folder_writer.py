"""`FolderWriter`: a folder zoom/x/y.jpg with a sidecar beside each tile, which any static server serves."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_archive import ArchiveFacts
from ...domain.values.catalogue_entries import Keys
from ..files.durable_folder import publish_folder, sync_folder
from ..files.temporary_file import refuse_taken, temporary_folder

_FOLDER_MODE = 0o755


class FolderWriter:
    """See `TileArchiveWriter`."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`."""
        self._folder = folder
        self._partial = folder.with_name(f".{folder.name}.partial")
        with ExitStack() as ending:
            ending.enter_context(temporary_folder(self._partial, _FOLDER_MODE, target=folder))
            refuse_taken(folder)
            self._ending = ending.pop_all()

    def order(self, keys: Keys) -> npt.NDArray[np.intp]:
        return np.argsort(keys)

    def add(self, place: TilePlace, pixels: bytes, sha256: bytes) -> None:
        column = self._partial / str(place.zoom_level) / str(place.x)
        column.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        name = f"{place.y}.jpg"
        (column / name).write_bytes(pixels)
        (column / f"{name}.sha256").write_text(f"{sha256.hex()}  {name}\n", encoding="ascii")

    def finish(self, facts: ArchiveFacts) -> None:
        box = facts.bounds
        notes = {
            "name": facts.name,
            "description": "exported by Aerotile",
            "format": "jpg",
            "scheme": "xyz",
            "bounds": [box.min_lon, box.min_lat, box.max_lon, box.max_lat],
            "minzoom": facts.zooms[0],
            "maxzoom": facts.zooms[-1],
        }
        (self._partial / "metadata.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
        for path, _, files in os.walk(self._partial):
            for name in files:
                with (Path(path) / name).open("rb") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(path))
        publish_folder(self._partial, self._folder)

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()
