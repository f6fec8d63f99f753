"""The composition root: the only place that builds concrete classes from a configuration.

Heavy modules are imported where they are needed. One process holds one `Runtime` per configuration, so that
calling a factory again costs a dictionary look-up and returns the same object; `close_runtimes` ends them,
and so does the interpreter's exit.
"""

from __future__ import annotations

import atexit
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from ...domain.ports.clock import Clock
from ...domain.ports.descriptor_index import DescriptorIndex
from ...domain.ports.tile_metadata import TileMetadataStore
from ...domain.ports.tile_store import ReadableTiles
from ...domain.ports.uploader import TileUploader
from ...domain.store.layered_store import LayeredTileStore
from ...domain.store.tile_store import FileBackedTileStore
from ..config.settings import AerotileConfig
from .base_parts import BaseParts
from .index_parts import IndexParts
from .upload_parts import UploadParts

if TYPE_CHECKING:
    from ..postgres.migrate import MigrationReport


class Runtime(UploadParts, BaseParts, IndexParts):
    """Everything that one configuration composes; a context manager that closes it."""

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_runtimes: dict[tuple[int, AerotileConfig], Runtime] = {}
_runtimes_lock = threading.Lock()


def runtime_of(config: AerotileConfig) -> Runtime:
    """This process's runtime for a configuration; a forked child gets one of its own."""
    with _runtimes_lock:
        return _runtimes.setdefault((os.getpid(), config), Runtime(config))


def close_runtimes() -> None:
    """Close every runtime that this process's factories opened."""
    with _runtimes_lock:
        mine = [key for key in _runtimes if key[0] == os.getpid()]
        closing = [_runtimes.pop(key) for key in mine]
    for runtime in closing:
        runtime.close()


atexit.register(close_runtimes)


def build_tile_store(config: AerotileConfig) -> FileBackedTileStore | LayeredTileStore:
    """The tile store within its disk budget, opened and reconciled; with `base.layered` behind the base.

    It implements `TileStore`, `SupportsLocalReads` and `SupportsLocalWrites`.

    Raises `StoreUnavailableError`, `ConfigurationError`, `RuntimeNotAvailableError`, `BaseUnavailableError`.
    """
    store: FileBackedTileStore | LayeredTileStore = runtime_of(config).part("store_in_use")
    return store


def build_sealed_base(config: AerotileConfig) -> ReadableTiles:
    """The sealed base alone, for reading; no database is opened, and none has to be there.

    Raises `BaseUnavailableError` when none is in use, or when it is damaged or not signed as it must be.
    """
    base: ReadableTiles = runtime_of(config).part("sealed_store")
    return base


def build_tile_metadata_store(config: AerotileConfig) -> TileMetadataStore:
    """What the database knows of tiles. Raises `StoreUnavailableError`, `RuntimeNotAvailableError`."""
    store: TileMetadataStore = runtime_of(config).part("metadata_store")
    return store


def build_descriptor_index(config: AerotileConfig) -> DescriptorIndex:
    """The descriptor index. Raises `IndexUnavailableError`, `RuntimeNotAvailableError`."""
    index: DescriptorIndex = runtime_of(config).part("descriptor_index")
    return index


def build_tile_uploader(config: AerotileConfig, *, clock: Clock | None = None) -> TileUploader:
    """The uploader to the satellite provider, over the tile store and its database.

    `clock` waits between retries and tells when to come back; default the machine's. Raises as
    `build_tile_store` does, and `ConfigurationError` when no provider or token is configured.
    """
    return runtime_of(config).tile_uploader(clock)


def apply_migrations(config: AerotileConfig) -> MigrationReport:
    """Bring the database to the newest revision; starts the embedded one when none is configured.

    Raises `StoreUnavailableError`, also for a database that is newer than this code.
    """
    return runtime_of(config).apply_migrations()
