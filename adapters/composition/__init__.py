"""The composition root: the only place that builds concrete classes from a configuration.

Heavy modules are imported where they are needed. One process holds one `Runtime` per configuration, so that
calling a factory again costs a dictionary look-up and returns the same object; `close_runtimes` ends them,
and so does the interpreter's exit.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

from ...domain.errors import DescriptorModelError, IndexUnavailableError, RuntimeNotAvailableError
from ...domain.policies.index_agreement import ChangedTiles, IndexAgreement
from ...domain.ports.clock import Clock
from ...domain.ports.dataset_store import DatasetStore
from ...domain.ports.descriptor_index import DescriptorIndex
from ...domain.ports.descriptor_model import DescriptorModel
from ...domain.ports.flight_recorder import FlightRecorder
from ...domain.ports.health_monitor import HealthMonitor
from ...domain.ports.tile_metadata import TileMetadataStore
from ...domain.ports.tile_store import ReadableTiles
from ...domain.ports.uploader import TileUploader
from ...domain.store.layered_store import LayeredTileStore
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.values.validators import check_kind, check_methods
from ..config.settings import AerotileConfig
from .building_parts import BuildingParts
from .health_parts import HealthParts
from .readiness_parts import ReadinessParts
from .recall_parts import RecallParts
from .upload_parts import UploadParts

if TYPE_CHECKING:
    from ..postgres.migrate import MigrationReport


class Runtime(UploadParts, RecallParts, ReadinessParts, BuildingParts, HealthParts):
    """Everything that one configuration composes; a context manager that closes it."""

    def index_agreement(self) -> tuple[IndexAgreement, ChangedTiles | None] | None:
        """See `compare_searched_index`; None where there is no index to compare.

        Whether the index can be used at all is for `check_index`. Raises `StoreUnavailableError`.
        """
        try:
            return self.compare_searched_index()
        except (DescriptorModelError, IndexUnavailableError, RuntimeNotAvailableError):
            return None

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


_runtimes: dict[tuple[int, AerotileConfig], Runtime] = {}
_runtimes_lock = threading.Lock()


def runtime_of(config: AerotileConfig) -> Runtime:
    """This process's runtime for a configuration; a forked child gets one of its own."""
    check_kind(config, AerotileConfig, "config")
    key = (os.getpid(), config)
    with _runtimes_lock:
        runtime = _runtimes.get(key)
        if runtime is None:
            runtime = _runtimes[key] = Runtime(config)
        return runtime


def _lock_anew() -> None:
    # Another thread of the parent may have held the lock at the fork.
    global _runtimes_lock
    _runtimes_lock = threading.Lock()


os.register_at_fork(after_in_child=_lock_anew)


def close_runtimes() -> None:
    """Close all that the factories opened in this process: stores, index, uploaders, flight record, database.

    Runs at the interpreter's exit too. Afterwards the factories open anew; what they returned before is
    closed, but for the tiles of a sealed base, which stay readable. Flushes access times and the flight
    record, and stops the embedded database unless another process uses it. Waits at most 5 s for a
    flight record's disk that hangs, and 60 s for the embedded database. In a forked child it closes only what
    the child itself opened.
    """
    with _runtimes_lock:
        mine = [key for key in _runtimes if key[0] == os.getpid()]
        closing = [_runtimes.pop(key) for key in mine]
    for runtime in closing:
        runtime.close()


atexit.register(close_runtimes)


def build_tile_store(config: AerotileConfig) -> FileBackedTileStore | LayeredTileStore:
    """The tile store within its disk budget, opened and reconciled; with `base.layered` behind the base.

    It implements `TileStore`, `SupportsLocalReads` and `SupportsLocalWrites`.

    The first call waits at most 60 s for an embedded database, 5 s for writers of other processes, and for
    the catalogue, about 1.4 s per million tiles; a later call returns the same store. Raises
    `StoreUnavailableError`, `ConfigurationError`, `RuntimeNotAvailableError`, `BaseUnavailableError`.
    """
    store: FileBackedTileStore | LayeredTileStore = runtime_of(config).part("store_in_use")
    return store


def build_sealed_base(config: AerotileConfig) -> ReadableTiles:
    """The sealed base alone, for reading; no database is opened, and none has to be there.

    The first call waits for the disk's own time; a later call returns the same base.
    Raises `BaseUnavailableError` when none is in use, or when it is damaged or not signed as it must be.
    """
    base: ReadableTiles = runtime_of(config).part("sealed_store")
    return base


def build_tile_metadata_store(config: AerotileConfig) -> TileMetadataStore:
    """What the database knows of tiles.

    The first call waits at most 60 s for an embedded database. Raises `StoreUnavailableError`,
    `RuntimeNotAvailableError`.
    """
    store: TileMetadataStore = runtime_of(config).part("metadata_store")
    return store


def build_dataset_store(config: AerotileConfig) -> DatasetStore:
    """The datasets that tiles come from.

    The first call waits at most 60 s for an embedded database. Raises `StoreUnavailableError`,
    `RuntimeNotAvailableError`.
    """
    store: DatasetStore = runtime_of(config).part("dataset_store")
    return store


def build_descriptor_index(config: AerotileConfig) -> DescriptorIndex:
    """The descriptor index; its lookups are on the flight record as `record.lookups` says.

    It is the index of the base, where a flight reads a base that has one: with `base.layered`, or where there
    is no database. Tiles of the store alone are not in it. No database is opened.

    The first call waits for the disk: it hashes the index. Where none was built yet, the searches raise, and
    this call does not. Raises `IndexUnavailableError` for a damaged index and for one of another network than
    the configured one, `RuntimeNotAvailableError` when `BUILD_FAISS_INDEX` is off,
    `ConfigurationError` when it is no yes or no, `DescriptorModelError` when the network of `[descriptor]`
    can't be used, and `BaseUnavailableError` as `build_sealed_base` does.
    """
    index: DescriptorIndex = runtime_of(config).part("index_in_use")
    return index


def build_descriptor_model(config: AerotileConfig) -> DescriptorModel:
    """The network of `[descriptor]`, which describes camera frames as it described the tiles.

    With such a network configured, `build_descriptor_index` opens an index of its name only. The first call
    waits for the disk and for onnxruntime: it reads and prepares the network; a later call returns the same
    one. No database is opened. Raises
    `DescriptorModelError`, `ConfigurationError`, and `RuntimeNotAvailableError` where a package is missing.
    """
    model: DescriptorModel = runtime_of(config).part("descriptor_model")
    return model


def build_tile_uploader(config: AerotileConfig, *, clock: Clock | None = None) -> TileUploader:
    """The uploader to the satellite provider, over the tile store and its database.

    `clock` waits between retries and tells when to come back; default the machine's. Waits and raises as
    `build_tile_store` does, and `ConfigurationError` when no provider or token is configured.
    """
    if clock is not None:
        check_methods(clock, ("now", "monotonic", "sleep"), "clock")
    return runtime_of(config).tile_uploader(clock)


def build_flight_recorder(config: AerotileConfig) -> FlightRecorder:
    """The flight record, for events of the flight stack's own beside those of the store.

    The same recorder that the store of this configuration writes to. `record` never blocks and never raises;
    `close_runtimes` writes what is queued. Opens no database; waits only while another thread calls another
    factory.
    """
    recorder: FlightRecorder = runtime_of(config).part("recorder")
    return recorder


def build_health_monitor(config: AerotileConfig) -> HealthMonitor:
    """The health of what this process opened by this configuration, and what reports it to a supervisor.

    The first call starts threads that write `health.file` every `health.period_s` seconds, and that tell
    systemd where it started this process with `Type=notify`; `close_runtimes` removes the file. A later call
    returns the same monitor. Opens nothing itself; waits only while another thread calls another factory.
    """
    monitor: HealthMonitor = runtime_of(config).part("health_monitor")
    return monitor


def apply_migrations(config: AerotileConfig) -> MigrationReport:
    """Bring the database to the newest revision; starts the embedded one when none is configured.

    Waits at most 60 s for an embedded database, and 600 s for another process that migrates, which the error
    then names. Raises `StoreUnavailableError`, also for a database that is newer than this code.
    """
    return runtime_of(config).apply_migrations()
