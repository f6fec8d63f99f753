"""Hostile content from every side: tiles, settings, rows of the database, values on their way into SQL."""

from __future__ import annotations

import ast
import importlib.util
import json
import logging
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from aerotile.adapters.cli import main
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config_loader import load_config

REPOSITORY = Path(__file__).parents[2]
INJECTION = "'; DROP TABLE tiles CASCADE; --"
TOKEN = "a-token-of-a-test"
STEERING = "\x1b]0;owned\x07\x1b[2J\u202e"


@attrs.frozen
class Answer:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def is_orderly(self) -> bool:
        """Done or refused, on one line, without a defect and without steering the terminal."""
        last = self.err.splitlines()[-1:] or [""]
        return (
            self.code in (0, 1, 2, 3)
            and "Traceback" not in self.err
            and "unexpected" not in self.err
            and (self.code in (0, 3) or last[0].startswith("error: "))
            and not set(self.out + self.err) & set("\x1b\x07\u202e")
        )


@pytest.fixture
def call(
    tmp_path: Path, migrated_database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Call the program over a database and a folder of this test's own."""
    root_logger = logging.getLogger()
    level, handlers = root_logger.level, root_logger.handlers[:]
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    for name in [name for name in os.environ if name.startswith("AEROTILE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEROTILE_DATABASE_DSN", migrated_database)
    (tmp_path / "aerotile-data").mkdir(0o750)

    def run(*arguments: object, **environment: str) -> Answer:
        with monkeypatch.context() as patch:
            for name, text in environment.items():
                patch.setenv(name, text)
            capfd.readouterr()
            code = main([str(argument) for argument in arguments])
            return Answer(code, *capfd.readouterr())

    yield run
    root_logger.setLevel(level)
    root_logger.handlers[:] = handlers
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack("!H", len(content) + 2) + content


def jpeg(*segments: bytes, size: tuple[int, int] = (256, 256)) -> bytes:
    """The skeleton of a JPEG that claims a size."""
    frame = segment(0xC0, struct.pack("!BHHB", 8, size[1], size[0], 1) + b"\x01\x11\x00")
    return b"\xff\xd8" + b"".join(segments) + frame + segment(0xDA, b"\x01\x01\x00\x00?\x00") + b"\0\xff\xd9"


EXIF = segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 5000)
HOSTILE_TILES = {
    "claims 65500 x 65500": (jpeg(size=(65500, 65500)), "it is 65500 x 65500 pixels"),
    "claims nothing": (jpeg(size=(0, 0)), "it is 0 x 0 pixels"),
    "page with markers": (b"\xff\xd8\xff<script>alert(1)</script>\xff\xd9", "not a JPEG"),
    "gif": (b"GIF89a" + bytes(50) + b"\xff\xd9", "not a JPEG"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "not a JPEG"),
    "zip behind the picture": (jpeg() + b"PK\x05\x06" + bytes(18), "not a JPEG"),
    "segment that leads nowhere": (b"\xff\xd8\xff\xe0\xff\xff" + bytes(9) + b"\xff\xd9", "not a JPEG"),
    "segment of no length": (b"\xff\xd8\xff\xe0\0\0" * 3 + b"\xff\xd9", "not a JPEG"),
    "frame in another's comment": (
        b"\xff\xd8" + segment(0xFE, jpeg()[2:-2]) + segment(0xDA, b"\0") + b"\xff\xd9",
        "not a JPEG",
    ),
    "a million fill bytes": (b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xd9", "not a JPEG"),
    "a million empty segments": (b"\xff\xd8" + b"\xff\xe0\0\x02" * 250_000 + b"\xff\xd9", "not a JPEG"),
}


@pytest.mark.parametrize("name", HOSTILE_TILES)
def test_a_hostile_tile_is_refused_by_its_header_and_never_decoded(
    call: Callable[..., Answer], tmp_path: Path, name: str
) -> None:
    content, reason = HOSTILE_TILES[name]
    column = tmp_path / "tiles/3/1"
    column.mkdir(parents=True)
    (column / "1.jpg").write_bytes(content)
    answer = call("ingest", "tiles", "--captured-at", "2026-05-01")
    assert answer.is_orderly
    assert (answer.code, reason in answer.err) == (1, True), answer
    assert not (tmp_path / "aerotile-data/tiles/imported/3").exists()


def test_what_is_no_plain_file_of_a_tiles_size_is_never_read(
    call: Callable[..., Answer], tmp_path: Path
) -> None:
    column = tmp_path / "tiles/3/1"
    column.mkdir(parents=True)
    with (column / "1.jpg").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(column / "2.jpg")
    (column / "3.jpg").symlink_to("/dev/zero")
    (column / "4.jpg").write_bytes(b"")
    answer = call("ingest", "tiles", "--captured-at", "2026-05-01", "--json")
    refused = {
        Path(refusal["file"]).name: refusal["message"] for refusal in json.loads(answer.out)["refusals"]
    }
    assert "is no tile's size" in refused["1.jpg"]
    assert set(refused) == {"1.jpg", "4.jpg"}


def test_what_a_tile_carries_besides_its_picture_is_kept_byte_for_byte_and_never_read(
    call: Callable[..., Answer], tmp_path: Path
) -> None:
    column = tmp_path / "tiles/3/1"
    column.mkdir(parents=True)
    content = jpeg(EXIF, segment(0xFE, b"<script>" + INJECTION.encode() + STEERING.encode()))
    (column / "1.jpg").write_bytes(content)
    assert call("ingest", "tiles", "--captured-at", "2026-05-01").code == 0
    assert (tmp_path / "aerotile-data/tiles/imported/3/1/1.jpg").read_bytes() == content


@pytest.mark.parametrize(
    "settings",
    [
        {"ROOT": "/dev/zero"},
        {"ROOT": "/dev/null/store"},
        {"ROOT": "/proc/self/mem"},
        {"ROOT": "/proc/store"},
        {"ROOT": "x" * 5000},
        {"CONFIG": "/dev/zero"},
        {"CONFIG": "/proc/self/mem"},
        {"CONFIG": "."},
        {"BUDGET_MAX_BYTES": "9" * 5000},
        {"BUDGET_MAX_BYTES": "-1"},
        {"TILES_TILE_SIZE_PIXELS": str(10**30)},
        {"RECORD_QUEUE_SIZE": str(10**18)},
        {"READS_DEADLINE_S": "inf"},
        {"READS_DEADLINE_S": "nan"},
        {"DATABASE_CONNECT_TIMEOUT_S": "1e999"},
        {"UPLOAD_URL": "file:///etc/shadow", "UPLOAD_TOKEN": TOKEN},
        {"UPLOAD_URL": "https://a@b/", "UPLOAD_TOKEN": TOKEN},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN": "t\r\nX-Evil: 1"},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN_FILE": "/dev/zero"},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN_FILE": "/etc"},
        {"UPLOAD_URL": "https://127.0.0.1:1/", "UPLOAD_TOKEN": TOKEN, "UPLOAD_CA_FILE": "/dev/null"},
        {"UPLOAD_URL": "https://127.0.0.1:1/", "UPLOAD_TOKEN": TOKEN, "UPLOAD_CA_FILE": "/etc"},
        {"DATABASE_DSN": "", "DATABASE_EMBEDDED_BINARIES": "/etc"},
        {"DATABASE_DSN": "", "DATABASE_EMBEDDED_BINARIES": "../../../../../../bin"},
        {"EVIL": STEERING},
        {"ROOT": STEERING},
    ],
    ids=str,
)
def test_hostile_settings_are_refused_in_one_line(
    call: Callable[..., Answer], settings: dict[str, str]
) -> None:
    environment = {f"AEROTILE_{name}": text for name, text in settings.items()}
    command = ("uploads", "votes") if "UPLOAD_URL" in settings else ("sectors", "load", "sectors.geojson")
    Path("sectors.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    answer = call(*command, "--json", **environment)
    assert answer.is_orderly, answer
    assert answer.code != 0
    assert answer.err.count("\n") == 1


ROWS = {
    "a source that is a path": "UPDATE tiles SET source = '../../../etc', flight_id = NULL",
    "a place off the grid": "UPDATE tiles SET x = 2147483647, y = id - 2147483648",
    "a zoom that there is not": "UPDATE tiles SET zoom_level = -32768",
    "an onboard tile without its flight": "UPDATE tiles SET flight_id = NULL",
    "a hash that is a path": "UPDATE tiles SET content_sha256 = '../../../../etc/shadow'",
    "a hash in capitals": "UPDATE tiles SET content_sha256 = upper(content_sha256)",
    "a negative size": "UPDATE tiles SET disk_bytes = -9223372036854775808",
    "a size beyond measure": "UPDATE tiles SET disk_bytes = 9223372036854775807",
    "a time beyond measure": "UPDATE tiles SET captured_at = 'infinity', accessed_at = '-infinity'",
    "a resolution that is none": "UPDATE tiles SET ground_sample_distance = 'NaN', tile_size_pixels = -1",
    "quality that is none": "UPDATE tiles SET horizontal_error_m = '-infinity', inlier_count = -1,"
    " mean_reprojection_error_px = 'NaN', sharpness = 'NaN'",
    "a vote that steers": f"UPDATE tiles SET voting_status = E'{STEERING}'",
    "attempts below none": "UPDATE tiles SET upload_attempts = -2147483648",
    "another identity": "UPDATE tiles SET tile_uuid = gen_random_uuid()",
    "a total below none": "UPDATE disk_usage SET total_bytes = -1",
    "no total": "DELETE FROM disk_usage",
    "another store": "UPDATE disk_usage SET store_id = gen_random_uuid()",
    "a sector that steers": "INSERT INTO sector_classifications VALUES"
    f" (E'{STEERING}', 'active_conflict', 'NaN', 'infinity', -91, 181)",
    "a rule that is none": "UPDATE tile_freshness_rules SET max_age = interval '-1000000 years'",
    "no rules": "DELETE FROM tile_freshness_rules",
    "an upload that steers": "INSERT INTO uploads (tile_uuid, generation, attempt, event, request_id,"
    " content_sha256, reason_code, reason_detail, happened_at) SELECT tile_uuid, -1, -1, 'rejected', NULL,"
    f" '', E'{STEERING}', E'{STEERING}\\n' || repeat('x', 100000), 'infinity' FROM tiles",
    "a revision that is a path": "UPDATE alembic_version SET version_num = '../../../etc/passwd'",
}
UNCHECKED = """
    DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT conrelid::regclass AS held_by, conname FROM pg_constraint
            WHERE contype = 'c' AND connamespace = 'public'::regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.held_by, found.conname);
        END LOOP;
    END $$
"""
COMMANDS = [
    ("sectors", "list"),
    ("uploads",),
    ("dump",),
    ("upload",),
    ("verify", "--repair"),
    ("delete", "onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/18/1/90123"),
    ("migrate",),
]


TABLES = (
    "tiles",
    "sector_classifications",
    "tile_freshness_rules",
    "disk_usage",
    "uploads",
    "vote_cursors",
    "alembic_version",
)


def save_tables(connection: psycopg.Connection) -> None:
    for table in TABLES:
        connection.execute(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}")


def restore_tables(connection: psycopg.Connection) -> None:
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}")


def test_hostile_rows_crash_nothing_and_lead_nowhere(
    call: Callable[..., Answer],
    migrated_database: str,
    onboard_tile: Callable[..., Any],
    tmp_path: Path,
) -> None:
    with Runtime(load_config()) as runtime:
        for outcome in runtime.tile_store.write_tiles([onboard_tile(x) for x in range(2)]):
            assert outcome.error is None
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious.jpg").write_bytes(b"keep me")
    shutil.copytree("aerotile-data", "saved")
    environment = {
        "AEROTILE_UPLOAD_URL": "http://127.0.0.1:1",
        "AEROTILE_UPLOAD_TOKEN": TOKEN,
        "AEROTILE_UPLOAD_MAX_IN_CALL_RETRIES": "0",
    }
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(UNCHECKED)
        save_tables(connection)
        for name, damage in ROWS.items():
            connection.execute(damage)
            for command in COMMANDS:
                answer = call(*command, **environment)
                assert answer.is_orderly, (name, command, answer)
            assert {path.name for path in tmp_path.iterdir()} == {"aerotile-data", "others", "saved"}, name
            assert [path.read_bytes() for path in others.iterdir()] == [b"keep me"], name
            restore_tables(connection)
            shutil.rmtree("aerotile-data")
            shutil.copytree("saved", "aerotile-data")
    assert call("verify").code == 0


def statements() -> Iterator[tuple[str, ast.expr]]:
    """What is handed over as a statement, in every module, with its place."""
    for folder in ("adapters", "migrations"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    for statement in statements_of(node, node.func):
                        yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", statement


def statements_of(call: ast.Call, function: ast.Attribute) -> list[ast.expr]:
    """The arguments of a call that are SQL."""
    if function.attr == "fetch_all":
        return call.args[1:2]  # behind words for a message
    if ast.unparse(function.value) in ("transaction", "self._transaction"):
        # Words for a message, then pairs of a statement and its values.
        return [pair.elts[0] for pair in call.args[1:] if isinstance(pair, ast.Tuple) and pair.elts]
    senders = ("execute", "executemany", "copy", "exec_driver_sql", "text")
    return call.args[:1] if function.attr in senders else []


def is_made_of_constants(expression: ast.expr) -> bool:
    """Whether a statement holds nothing but literals and names in capitals, or is built by the driver."""
    if isinstance(expression, ast.JoinedStr):
        return all(is_made_of_constants(part) for part in expression.values)
    if isinstance(expression, ast.FormattedValue):
        return is_made_of_constants(expression.value)
    if isinstance(expression, ast.Name):
        return expression.id.strip("_").isupper()
    return isinstance(expression, ast.Constant)


def test_no_statement_is_put_together_from_values() -> None:
    built = [
        place
        for place, statement in statements()
        if isinstance(statement, (ast.JoinedStr, ast.BinOp, ast.Call)) and not is_made_of_constants(statement)
    ]
    assert built == []
    assert len(list(statements())) > 30


def test_values_that_look_like_sql_are_values(
    call: Callable[..., Answer], migrated_database: str, tmp_path: Path
) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]}
    features = [
        {
            "type": "Feature",
            "properties": {"sector_id": name, "classification": "stable_rear"},
            "geometry": polygon,
        }
        for name in (INJECTION, "%s %(x)s $1 \\", STEERING)
    ]
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    answer = call("sectors", "load", "s.geojson")
    if answer.code != 0:
        assert answer.is_orderly
        (tmp_path / "s.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": features[:2]})
        )
        assert call("sectors", "load", "s.geojson").code == 0
    listed = {sector["sector_id"] for sector in json.loads(call("sectors", "list", "--json").out)["sectors"]}
    assert {INJECTION, "%s %(x)s $1 \\"} <= listed
    for bad in (INJECTION, f"onboard/{INJECTION}/1/0/0", f"imported/1/0/0{INJECTION}"):
        answer = call("delete", bad)
        assert answer.is_orderly
        assert answer.code == 2
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute("SELECT count(*) FROM tiles").fetchone() == (0,)


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss")
def test_a_models_name_is_text(call: Callable[..., Answer], tmp_path: Path) -> None:
    import numpy as np

    np.savez("d.npz", tiles=["imported/3/1/1"], descriptors=np.eye(1, 8, dtype=np.float32))
    for name in (INJECTION, "../../../etc/passwd", STEERING, "a\nb", "x" * 10_000):
        answer = call("index", "build", "d.npz", "--model", name)
        assert answer.is_orderly, answer
        assert call("status").is_orderly
    assert {path.name for path in (tmp_path / "aerotile-data/index").iterdir()} == {
        ".lock",
        "current",
        "generations",
    }
