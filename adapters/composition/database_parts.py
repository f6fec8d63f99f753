"""The database of a runtime and what speaks SQL to it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ...domain.errors import StoreUnavailableError
from ...domain.store.recovery import refuse_files_of_another_store
from ..background import BackgroundTask
from ..config.settings import AerotileConfig, BudgetConfig

if TYPE_CHECKING:
    from uuid import UUID

    from ..embedded_postgres.server import EmbeddedPostgres
    from ..postgres.connection import Database
    from ..postgres.dataset_store import PostgresDatasetStore
    from ..postgres.migrate import MigrationReport
    from ..postgres.sector_store import PostgresSectorStore
    from ..postgres.tile_feed import TileFeed
    from ..postgres.tile_metadata import PostgresTileMetadataStore
    from ..postgres.tile_rows import PostgresTileRows
    from ..postgres.upload_ledger import PostgresUploadLedger


from .parts import Parts

REVIVE_INTERVAL_S = 1.0
"""How soon an embedded database that died is started again."""


class DatabaseParts(Parts):
    """The database, embedded or configured, and the adapters over it."""

    def __init__(self, config: AerotileConfig, *, keep_database_running: bool = True) -> None:
        """With `keep_database_running` an embedded database that dies is started again within seconds."""
        super().__init__(config)
        self._keep_database_running = keep_database_running

    @cached_property
    def dsn(self) -> str:
        """Address of the database; starts the embedded one when none is configured."""
        configured = self.config.database.dsn
        if configured is not None:
            return configured.reveal()
        if not self.config.has_store and self._owner_of_tiles() is not None:
            raise StoreUnavailableError(
                f"the tiles in {self.config.tiles_folder} belong to a database, and none is configured",
                remedy="set database.dsn, or AEROTILE_DATABASE_DSN, or use another root",
            )
        dsn = self.embedded_server.start()
        if not self._keep_database_running:
            return dsn
        reviver = BackgroundTask(
            "the embedded database", self.embedded_server.revive, interval_s=REVIVE_INTERVAL_S
        )
        return self._closing(dsn, reviver.close)

    @cached_property
    def embedded_server(self) -> EmbeddedPostgres:
        """The embedded database, not started yet; used when no DSN is configured."""
        from ..embedded_postgres.server import EmbeddedPostgres

        binaries = self.config.database.embedded_binaries
        server = EmbeddedPostgres(self.config.postgres_folder, binaries=binaries)
        return self._closing(server, server.stop)

    def apply_migrations(self) -> MigrationReport:
        """Bring the database to the newest revision."""
        from ..postgres.migrate import apply_migrations

        return apply_migrations(self.dsn)

    @cached_property
    def database(self) -> Database:
        """The connection pool, over a database at the newest revision."""
        from ..postgres.connection import Database
        from ..postgres.revision import check_revision, is_at_newest_revision

        settings = self.config.database
        database = Database(  # connects meanwhile
            self.dsn,
            min_size=settings.pool_min_size,
            max_size=settings.pool_max_size,
            connect_timeout_s=settings.connect_timeout_s,
            statement_timeout_s=settings.statement_timeout_s,
        )
        try:
            if settings.dsn is not None:
                check_revision(self.dsn)
            elif not is_at_newest_revision(self.dsn):
                self.apply_migrations()  # nobody else uses the embedded database
            self._refuse_database_of_other_tiles(database)
        except BaseException:
            database.close()
            raise
        return self._closing(database, database.close)

    def _owner_of_tiles(self) -> UUID | None:
        """The store that the tiles of the root belong to; None where there are none."""
        from ..filesystem.identity_file import identity_of_folder

        return identity_of_folder(self.config.tiles_folder)

    def _refuse_database_of_other_tiles(self, database: Database) -> None:
        """Raise `StoreUnavailableError` where another database knows the tiles of the root.

        A wrong DSN would otherwise show an empty store, in which nothing is pending for upload.
        """
        owner = self._owner_of_tiles()
        if owner is None:
            return
        from ..postgres.stored_rows import PostgresStoredRows

        ours = PostgresStoredRows(database).store_id()
        refuse_files_of_another_store(self.config.tiles_folder, ours=ours, owner=owner)

    @cached_property
    def tiles_budget(self) -> BudgetConfig:
        """What the tiles of the store may take; the onboard share is a share of that."""
        return self.config.budget

    @cached_property
    def rows(self) -> PostgresTileRows:
        """The rows' half of the tile store."""
        from ..postgres.tile_rows import PostgresTileRows

        budget = self.tiles_budget
        return PostgresTileRows(
            self.database, disk_budget_bytes=budget.max_bytes, onboard_budget_bytes=budget.onboard_bytes
        )

    @cached_property
    def metadata_store(self) -> PostgresTileMetadataStore:
        """What the database knows of tiles."""
        from ..postgres.tile_metadata import PostgresTileMetadataStore

        return PostgresTileMetadataStore(self.database)

    @cached_property
    def sector_store(self) -> PostgresSectorStore:
        """Sectors and freshness rules as the database has them."""
        from ..postgres.sector_store import PostgresSectorStore

        return PostgresSectorStore(self.database)

    @cached_property
    def dataset_store(self) -> PostgresDatasetStore:
        """The datasets that are defined."""
        from ..postgres.dataset_store import PostgresDatasetStore

        return PostgresDatasetStore(self.database)

    @cached_property
    def upload_ledger(self) -> PostgresUploadLedger:
        """What was sent to the provider and what it said."""
        from ..postgres.upload_ledger import PostgresUploadLedger

        return PostgresUploadLedger(self.database)

    @cached_property
    def tile_feed(self) -> TileFeed:
        """Tells the store what other processes commit; it listens before the store loads its catalogue."""
        from ..postgres.tile_feed import TileFeed

        feed = TileFeed(self.database)
        return self._closing(feed, feed.close)
