"""Data folders of embedded servers, which run with the settings of a flight.

Whatever server is left in one is killed afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_servers import kill_server, run

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres


@pytest.fixture
def new_folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a data folder that does not exist yet."""
    folder = tmp_path / "new"
    yield folder
    kill_server(folder)


@pytest.fixture(scope="session")
def stopped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a cluster, stopped in order; copied, never used."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    with EmbeddedPostgres(folder) as server:
        run(server.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    return folder


@pytest.fixture
def data_folder(stopped_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test's own, with a cluster and a table `kept`; no server runs."""
    folder = tmp_path / "data"
    shutil.copytree(stopped_folder, folder)
    yield folder
    kill_server(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        kill_server(folder / "data")


@pytest.fixture(scope="module")
def running(stopped_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a server that tests only look at."""
    folder = tmp_path_factory.mktemp("running") / "data"
    shutil.copytree(stopped_folder, folder)
    with EmbeddedPostgres(folder) as server:
        yield server.dsn
