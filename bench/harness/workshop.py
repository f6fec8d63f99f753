"""Where subjects are prepared: the folder, the database server, the floors and the stores of one run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aerotile import AerotileConfig, TileStore
from aerotile.adapters.composition import Runtime, close_runtimes, runtime_of
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import BudgetConfig, DatabaseConfig
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.adapters.postgres.migrate import apply_migrations

from .dataset import make_tile
from .floors import Floors

if TYPE_CHECKING:
    from typing_extensions import LiteralString

T = TypeVar("T")
_WRITTEN_AT_ONCE = 512


@attrs.frozen(kw_only=True)
class Sizes:
    """How large the data of a run is."""

    quick: bool
    tiles: int
    """In the store that reads are measured on."""
    catalogue_tiles: int
    """In the catalogue that bbox queries are measured on, and the store that is opened."""
    largest: int
    """Where growth curves end; 0: there are none."""
    sectors: int
    descriptors: int
    dimension: int
    raster_pixels: int
    """Width and height of the raster that is cut into tiles."""


FULL = Sizes(
    quick=False,
    tiles=20_000,
    catalogue_tiles=100_000,
    largest=0,
    sectors=10_000,
    descriptors=100_000,
    dimension=512,
    raster_pixels=4_096,
)
SCALE = attrs.evolve(FULL, catalogue_tiles=1_000_000, largest=1_000_000, raster_pixels=20_000)
QUICK = Sizes(
    quick=True,
    tiles=4_000,
    catalogue_tiles=100_000,
    largest=10_000,
    sectors=10_000,
    descriptors=10_000,
    dimension=128,
    raster_pixels=2_048,
)


class Workshop:
    """Parts that subjects share, each made when it is first asked for and kept until the end of the run."""

    def __init__(self, folder: Path, sizes: Sizes, *, dsn: str | None = None) -> None:
        """`folder` is on the file system that durable writes are measured on. `dsn`: not our own server."""
        self.folder = folder
        self.sizes = sizes
        self._dsn = dsn
        self._embedded = dsn is None
        self._stack = ExitStack()
        self._shared: dict[Callable[..., Any], Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o755)  # noqa: PTH101 # the database may run as another user and must get through
        self.floors = Floors(folder / "floors")
        self.linked_stores: dict[int, AerotileConfig] = {}
        """Closed stores by their number of tiles; see `linked_store`."""

    def close(self) -> None:
        """Close every store, then what was shared, the last made first; the folder stays."""
        close_runtimes()
        self._stack.close()

    def shared(self, make: Callable[[Workshop], AbstractContextManager[T]]) -> T:
        """What `make(self)` gives, made once for everybody who asks for the same `make`."""
        if make not in self._shared:
            self._shared[make] = self._stack.enter_context(make(self))
        part: T = self._shared[make]
        return part

    def path(self, name: str) -> Path:
        """A place in the folder for a subject's own files; nothing is there yet."""
        return self.folder / name

    @property
    def server(self) -> str:
        """DSN of the server, for an administrator; the settings are those of a flight."""
        if self._dsn is None:
            embedded = self._stack.enter_context(EmbeddedPostgres(self.folder / "postgres"))
            self._dsn = embedded.dsn
        return self._dsn

    def database(self, name: str) -> str:
        """DSN of a new database at the newest revision; dropped at the end when the server is not ours."""
        name = "bench_" + re.sub(r"[^a-z0-9]", "_", name.lower())
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._administer("CREATE DATABASE {}", name)
        if not self._embedded:
            self._stack.callback(self._administer, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        dsn = make_conninfo(self.server, dbname=name)
        apply_migrations(dsn)
        return dsn

    def _administer(self, statement: LiteralString, database: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))

    def config(self, name: str, **sections: Any) -> AerotileConfig:
        """The configuration of a new, empty store with a database of its own."""
        return AerotileConfig(
            root=self.path(f"store-{name}"),
            database=DatabaseConfig(dsn=Secret(self.database(name))),
            budget=BudgetConfig(max_bytes=1 << 50),
            **sections,
        )

    def filled(self, name: str, numbers: range) -> FilledStore:
        """A new store that holds those tiles of the data set, closed at the end of the run."""
        store = FilledStore.of(self.config(name))
        for start in range(numbers.start, numbers.stop, _WRITTEN_AT_ONCE):
            batch = [make_tile(n) for n in range(start, min(start + _WRITTEN_AT_ONCE, numbers.stop))]
            outcomes = store.store.write_tiles(batch)  # type: ignore[attr-defined] # it can write in bulk
            failed = [outcome for outcome in outcomes if outcome.stored is None]
            if failed:
                raise RuntimeError(f"{failed[0].tile_id} was not stored: {failed[0].error}")
        return store


@attrs.frozen(kw_only=True)
class FilledStore:
    """A store with its configuration and its parts."""

    config: AerotileConfig
    runtime: Runtime
    store: TileStore

    @classmethod
    def of(cls, config: AerotileConfig) -> FilledStore:
        """Open the store of a configuration as a flight stack does."""
        runtime = runtime_of(config)
        return cls(config=config, runtime=runtime, store=runtime.part("tile_store"))
