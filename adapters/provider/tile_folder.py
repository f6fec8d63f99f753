"""The tiles that the provider stores: `tiles/{tile_uuid}.jpg`, each with its header beside it as JSON.

A tile is stored when its JSON file exists, which is renamed into place last. The next open removes other
files that a crash left.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from uuid import UUID

from ...domain.errors import StoreUnavailableError
from ...ext import sync_file_system
from ..files.durable_folder import make_folder_durably
from ..files.file_lock import FileLock
from ..files.regular_file import read_regular
from .admission import AdmittedTile
from .errors import disk_errors
from .frames import MAX_HEADER_BYTES

_CONTENT = ".jpg"
_FACTS = ".json"
_TEMPORARY = ".tmp"
_MOST_FACTS_BYTES = 8 * MAX_HEADER_BYTES  # written anew, a header grows by its escapes


class StoreOutcome(str, Enum):
    """The outcome for an admitted tile."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class TileFolder:
    """The tiles below `folder`, for any number of threads of one process; a lock keeps others out.

    Holds one hash per tile in memory.
    """

    def __init__(self, folder: Path) -> None:
        """Open, making the folder if it is missing. Raises `StoreUnavailableError`."""
        self._folder = folder / "tiles"
        self._guard = threading.Lock()
        with disk_errors("open", self._folder):
            make_folder_durably(self._folder, 0o755)
            self._lock = FileLock(folder / "lock", create_mode=0o640)
            if not self._lock.try_acquire():
                raise StoreUnavailableError(
                    f"{folder} is in use by another provider",
                    remedy="stop that provider, or name another folder",
                )
            try:
                self._hashes = self._load()
            except BaseException:
                self._lock.close()
                raise

    def close(self) -> None:
        """Release the folder for another process."""
        with self._guard:
            self._lock.close()

    def hashes(self) -> dict[UUID, str]:
        """The SHA-256 of each stored tile."""
        with self._guard:
            return dict(self._hashes)

    def store(self, tiles: Sequence[AdmittedTile]) -> list[StoreOutcome]:
        """Store a batch of distinct tiles; outcome i is tile i's. Accepted tiles are durable on return.

        A tile that is stored with another content is a conflict and stays as it is. Raises
        `StoreUnavailableError`; any part of the batch may then be stored, which the next call reports.
        """
        with self._guard:
            held = [self._hashes.get(tile.tile_uuid) for tile in tiles]
            new = [tile for tile, sha256 in zip(tiles, held, strict=True) if sha256 is None]
            if new:
                with disk_errors("write to", self._folder):
                    self._write(new)
            self._hashes.update((tile.tile_uuid, tile.content_sha256) for tile in new)
        return [_outcome(tile, sha256) for tile, sha256 in zip(tiles, held, strict=True)]

    def _write(self, tiles: Sequence[AdmittedTile]) -> None:
        # Opened before the first write, so that its syncs report the errors of this batch.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        names = [f"{self._folder}/{tile.tile_uuid}" for tile in tiles]
        try:
            for name, tile in zip(names, tiles, strict=True):
                Path(name + _CONTENT + _TEMPORARY).write_bytes(tile.content)
                Path(name + _FACTS + _TEMPORARY).write_text(json.dumps(tile.header), encoding="ascii")
            sync_file_system(folder)
            for suffix in (_CONTENT, _FACTS):
                for name in names:
                    Path(name + suffix + _TEMPORARY).rename(name + suffix)
                # After a power cut no tile's JSON file may be there without its content.
                os.fsync(folder)
        except OSError:
            for name in names:
                for suffix in (_CONTENT, _FACTS):
                    with suppress(OSError):  # the next open removes the rest
                        Path(name + suffix + _TEMPORARY).unlink()
            raise
        finally:
            os.close(folder)

    def _load(self) -> dict[UUID, str]:
        """Remove the remains of crashes, and read the hash of each tile."""
        hashes: dict[UUID, str] = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix == _TEMPORARY or (
                path.suffix == _CONTENT and not path.with_suffix(_FACTS).exists()
            ):
                path.unlink()
            elif path.suffix == _FACTS:
                tile_uuid, content_sha256 = self._read_facts(path)
                hashes[tile_uuid] = content_sha256
        return hashes

    def _read_facts(self, path: Path) -> tuple[UUID, str]:
        content = path.with_suffix(_CONTENT)
        try:
            facts = json.loads(read_regular(path, _MOST_FACTS_BYTES))
            found = content.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != facts["disk_bytes"]:
                raise ValueError("its length is not that in the facts")
            return UUID(path.stem), str(facts["content_sha256"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreUnavailableError(
                f"{content} is damaged: {error}",
                remedy=f"remove it and {path.name}; then the tile can be sent again",
            ) from error


def _outcome(tile: AdmittedTile, held_sha256: str | None) -> StoreOutcome:
    if held_sha256 is None:
        return StoreOutcome.ACCEPTED
    return StoreOutcome.DUPLICATE if held_sha256 == tile.content_sha256 else StoreOutcome.CONFLICT
