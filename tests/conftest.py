"""Parts that tests share: a real PostgreSQL of their own, databases on it, and hypothesis profiles.

Drivers are imported inside the fixtures: tests/unit runs where none of them is installed.
`TEST_POSTGRES_DSN` names a server to use in place of the embedded one; its role must be allowed to create
databases.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import HealthCheck, settings
from reused_databases import ReusedDatabases

if TYPE_CHECKING:
    from aerotile.adapters.memory.tile_files import MemoryTileFiles
    from aerotile.adapters.memory.tile_rows import MemoryTileRows
    from aerotile.adapters.memory.uploader import MemoryUploadLedger
    from aerotile.domain.values.pixels import TilePixelHandle
    from aerotile.domain.values.tiles import TileId, TileMetadata

# A shell has what it starts in the background ignore Ctrl-C, and a child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["fault_tally", "random_seed", "tiers"]

# A deadline is a timing assertion, and so is the check for slow examples: a busy machine is not a failed
# test. A test that needs more or fewer examples than others asks for a multiple of its profile's.
settings.register_profile(
    "quick",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=300)
settings.load_profile("quick")  # another with --hypothesis-profile

# A crash of the session's server loses nothing that anybody wants to keep, and no database lives long enough
# to be vacuumed; an ANALYZE between two tests would have the database made anew. The tests in
# tests/integration/embedded_server do not use these: they hold the supervisor to the settings of a flight.
_SETTINGS_OF_A_THROWAWAY_SERVER = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


@attrs.frozen
class PostgresServer:
    """A running server and how an administrator reaches it."""

    dsn: str = attrs.field(repr=False)

    def create_database(self, *, template: str | None = None, encoding: str | None = None) -> str:
        """Create a database with a name of its own, empty or a copy of `template`, and return its name.

        `encoding`: default the server's.
        """
        import psycopg
        from psycopg import sql

        name = f"aerotile_test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        if encoding is not None:
            statement += sql.SQL(" ENCODING {} LOCALE 'C'").format(sql.Literal(encoding))
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whatever is still connected to it."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def dsn_of(self, database: str) -> str:
        """The DSN of one database on this server."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(self.dsn, dbname=database)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real server: this session's own, or the one that TEST_POSTGRES_DSN names."""
    dsn = os.environ.get("TEST_POSTGRES_DSN")
    if dsn:
        yield PostgresServer(dsn)
        return
    from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

    with EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres"), extra_settings=_SETTINGS_OF_A_THROWAWAY_SERVER
    ) as embedded:
        _cheapen_password(embedded.dsn)
        yield PostgresServer(embedded.dsn)


def _cheapen_password(dsn: str) -> None:
    """Let each of the thousands of connections hash the password once instead of 4,096 times."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.info.server_version >= 160_000:
            connection.execute("SET scram_iterations = 1")
            connection.execute(
                psycopg.sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(connection.info.password)
            )


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a new database with nothing in it."""
    name = postgres_server.create_database()
    yield postgres_server.dsn_of(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database at the newest revision, made once per session to be copied."""
    from aerotile.adapters.postgres.migrate import apply_migrations

    name = postgres_server.create_database()
    apply_migrations(postgres_server.dsn_of(name))
    yield name
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _databases(postgres_server: PostgresServer, _migrated_template: str) -> Iterator[ReusedDatabases]:
    databases = ReusedDatabases(postgres_server, _migrated_template)
    yield databases
    databases.close()


@pytest.fixture
def migrated_database(postgres_server: PostgresServer, _databases: ReusedDatabases) -> Iterator[str]:
    """The DSN of a database at the newest revision, with nothing in it but what migrations seed."""
    name = _databases.take()
    yield postgres_server.dsn_of(name)
    _databases.give_back(name)


@pytest.fixture(scope="module")
def blocks_of_one_byte() -> Iterator[None]:
    """Tiles take their lengths, so that the numbers of these tests can be read."""
    from aerotile.domain.values import disk_usage

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(disk_usage, "BLOCK_BYTES", 1)
        patched.setattr(disk_usage, "PAIR_BYTES", 0)
        yield


@pytest.fixture
def onboard_tile() -> Callable[..., tuple[bytes, TileMetadata]]:
    """Make a tile of the aircraft: its pixels (no picture, but with a JPEG's structure) and its facts."""
    from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
    from aerotile.domain.values.tiles import (
        TileId,
        TileQualityMetadata,
        TileSource,
        VotingStatus,
    )

    def make(x: int, size: int = 300) -> tuple[bytes, TileMetadata]:
        pixels = example_jpeg(hashlib.shake_128(str(x).encode()).digest(size), size)
        return pixels, example_metadata(
            TileId(18, x, 90123, TileSource.ONBOARD, uuid.UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")),
            pixels,
            captured_at=datetime.now(timezone.utc),
            ground_sample_distance=0.59,
            voting_status=VotingStatus.PENDING,
            quality=TileQualityMetadata(2.5, 41, 0.75, 123.5) if x % 2 else None,
        )

    return make


@pytest.fixture
def memory_cache(onboard_tile: Callable[..., tuple[bytes, TileMetadata]]) -> Callable[..., MemoryCache]:
    """Make a cache in memory that holds `count` pending tiles."""
    from aerotile.adapters.memory.tile_files import MemoryTileFiles
    from aerotile.adapters.memory.tile_rows import MemoryTileRows
    from aerotile.adapters.memory.uploader import MemoryUploadLedger

    def make(count: int, size: int = 300) -> MemoryCache:
        cache = MemoryCache(MemoryTileRows(), MemoryTileFiles(), MemoryUploadLedger())
        for x in range(count):
            pixels, metadata = onboard_tile(x, size)
            cache.rows.insert_metadata(metadata)
            cache.files.place(cache.files.stage(pixels, metadata))
        return cache

    return make


@attrs.frozen
class MemoryCache:
    """Rows, files and upload ledger in memory."""

    rows: MemoryTileRows
    files: MemoryTileFiles
    ledger: MemoryUploadLedger

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """As a store reads them."""
        return self.files.open(tile_id)

    @property
    def pending(self) -> list[int]:
        """The columns of the tiles that are pending."""
        return [tile.tile_id.x for tile in self.rows.pending_uploads(1_000_000)]

    @property
    def uploaded(self) -> dict[uuid.UUID, str]:
        """The hashes of the tiles that are marked as uploaded."""
        return {t.tile_uuid: t.content_sha256 for t in self.rows.committed() if t.uploaded_at is not None}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Authorities made for these tests, and certificates of servers: good, expired, foreign, misnamed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl (Debian package openssl)")
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.make_authority("authority")
    made.make_authority("stranger")
    made.make_server("good", "authority", "20200101000000Z", "21200101000000Z")
    made.make_server("expired", "authority", "20200101000000Z", "20210101000000Z")
    made.make_server("foreign", "stranger", "20200101000000Z", "21200101000000Z")
    made.make_server("misnamed", "authority", "20200101000000Z", "21200101000000Z", "DNS:elsewhere.example")
    return made


@attrs.frozen
class Certificates:
    """PEM files in a folder; of a server's, chain and key in one."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def make_authority(self, name: str) -> None:
        """An authority that signs what it is asked to."""
        self._openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "36500",
            ),
            *("-subj", f"/CN=Aerotile test {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )

    def make_server(
        self, name: str, authority: str, begins: str, ends: str, subject: str = "IP:127.0.0.1"
    ) -> None:
        """A server's certificate, valid between two moments."""
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        (self.folder / f"{name}.cnf").write_text(
            f"""
            [ca]
            default_ca = a
            [a]
            database = {name}.txt
            new_certs_dir = .
            rand_serial = yes
            default_md = sha256
            policy = p
            x509_extensions = e
            [p]
            commonName = supplied
            [e]
            subjectAltName = {subject}
            """
        )
        (self.folder / f"{name}.txt").touch()
        self._openssl(
            *("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-startdate", begins, "-enddate", ends),
            *("-cert", f"{authority}.pem", "-keyfile", f"{authority}.key"),
            *("-in", f"{name}.csr", "-out", f"{name}.pem"),
        )
        with self[name].open("a") as chain:
            chain.write((self.folder / f"{name}.key").read_text())

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
