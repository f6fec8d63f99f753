"""Bad input, one line each as a person sees it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

from aerotile.adapters.cli.session import Session

PASSWORD = "hunter2-very-secret"


def test_a_missing_folder(call: Call, days_ago: Callable[[int], str]) -> None:
    result = call("ingest", "nowhere", "--captured-at", days_ago(1))
    assert result.code == BAD_CALL
    assert "nowhere" in result.error
    assert "does not exist" in result.error


def test_a_folder_without_tiles(call: Call, tmp_path: Path, days_ago: Callable[[int], str]) -> None:
    (tmp_path / "empty").mkdir()
    result = call("ingest", "empty", "--captured-at", days_ago(1))
    assert result.code == BAD_CALL
    assert result.error.startswith("empty holds no tiles zoom/x/y.jpg — ")


def test_a_mistyped_root_is_refused_and_not_made(call: Call, tmp_path: Path) -> None:
    for command in (["status"], ["dump"], ["verify"], ["record"], ["index", "info"], ["sectors", "list"]):
        result = call("--root", "mistyped", *command)
        assert result.code == BAD_CALL
        assert result.error.startswith(f"no folder {tmp_path / 'mistyped'} — ")
    assert not (tmp_path / "mistyped").exists()


def test_a_tile_that_is_no_jpeg(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    folder = xyz_folder()
    (folder / "7/60/1.jpg").write_text("<html>tile server error</html>")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert result.err.startswith("error: 1 of 4 tiles was refused: tiles/7/60/1.jpg: not a JPEG")
    assert result.err.count("\n") == 1
    assert "3 stored" in result.out


def test_a_tile_with_a_wrong_hash(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    folder = xyz_folder(count=1)
    (folder / "7/60/0.jpg.sha256").write_text(f"{'0' * 64}  0.jpg\n")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    actual = hashlib.sha256((folder / "7/60/0.jpg").read_bytes()).hexdigest()
    assert f"tiles/7/60/0.jpg: SHA-256 of tile imported/7/60/0 is {actual}, expected 000" in result.err
    assert call("dump").out == ""


def test_a_tile_of_another_size(
    call: Call, tmp_path: Path, jpeg: Callable[..., bytes], days_ago: Callable[[int], str]
) -> None:
    (tmp_path / "tiles/7/60").mkdir(parents=True)
    (tmp_path / "tiles/7/60/0.jpg").write_bytes(jpeg(size=(512, 256)))
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert "it is 512 x 256 pixels, expected 256 x 256 (tiles.tile_size_pixels)" in result.err


def test_a_tile_off_the_grid(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    xyz_folder(zoom=3, x=60, count=1)
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert "tiles/3/60/0.jpg: x must be an integer within 0..7 at zoom 3, got 60" in result.err


@pytest.mark.parametrize("command", ["status", "migrate", "dump", "verify"])
def test_a_dsn_that_does_not_answer(call: Call, command: str) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call(command, AEROTILE_DATABASE_DSN=dsn)
    assert result.code == JOB_FAILED
    assert result.err.count("\n") == 1
    assert "database tiles at 127.0.0.1:1 does not answer" in result.err
    assert PASSWORD not in result.out + result.err


def test_a_dsn_that_does_not_answer_shows_no_password_in_a_traceback_or_log(call: Call) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call("migrate", "--debug", "-vv", AEROTILE_DATABASE_DSN=dsn)
    assert "Traceback" in result.err
    assert PASSWORD not in result.out + result.err


def test_a_password_that_turns_up_elsewhere_is_taken_out_of_errors_tracebacks_and_logs(
    call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call("status", "--debug", "--root", f"no-{PASSWORD}-here", AEROTILE_DATABASE_DSN=dsn)
    assert result.err.splitlines()[-1].startswith("error: no folder ")
    assert "Traceback" in result.err
    assert "no-***-here" in result.err
    assert PASSWORD not in result.err
    session = Session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROTILE_DATABASE_DSN", dsn)
        assert session.config.database.dsn is not None
    session.configure_logging()
    logging.getLogger("aerotile.test").warning("connecting to %s\nwith %s", dsn, PASSWORD)
    logged = capfd.readouterr().err
    assert logged.count("\n") == 1
    assert logged.endswith(" connecting to postgresql://nav:***@127.0.0.1:1/tiles with ***\n")


def test_a_dsn_that_can_not_be_read(call: Call) -> None:
    result = call("migrate", AEROTILE_DATABASE_DSN=PASSWORD)
    assert result.code == BAD_CALL
    assert result.error.startswith("database.dsn must be a postgresql:// URL or keyword=value pairs")
    assert PASSWORD not in result.err


@pytest.mark.parametrize("command", ["migrate", "dump"])
def test_a_database_that_is_newer_than_the_code(call: Call, migrated_database: str, command: str) -> None:
    import psycopg

    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    result = call(command)
    assert result.code == JOB_FAILED
    assert "is at revision 9999, which is newer than this program" in result.error


def test_a_database_that_was_not_migrated(call: Call, empty_database: str) -> None:
    result = call("dump", AEROTILE_DATABASE_DSN=empty_database)
    assert result.code == JOB_FAILED
    assert "aerotile migrate" in result.error


def test_an_index_file_with_one_changed_byte(call: Call, tmp_path: Path) -> None:
    descriptors = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    np.savez("d.npz", tiles=[f"imported/6/0/{y}" for y in range(50)], descriptors=descriptors)
    np.save("q.npy", descriptors[0])
    assert call("index", "build", "d.npz", "--model", "demo").code == 0
    index_file = next((tmp_path / "aerotile-data/index/generations").glob("*/tiles.index"))
    content = bytearray(index_file.read_bytes())
    content[len(content) // 2] ^= 1
    index_file.chmod(0o640)
    index_file.write_bytes(content)
    for arguments in (["search", "q.npy"], ["index", "info"]):
        result = call(*arguments)
        assert result.code == JOB_FAILED
        assert str(index_file.parent) in result.error
        assert "SHA-256" in result.error


@pytest.mark.parametrize("content", ["", "lat,lon\n1,2\n", "{}", "[1, 2]", '{"type": "FeatureCollection"}'])
def test_geojson_that_is_none(call: Call, tmp_path: Path, content: str) -> None:
    (tmp_path / "sectors.geojson").write_text(content)
    result = call("sectors", "load", "sectors.geojson")
    assert result.code == BAD_CALL
    assert result.error.startswith("sectors.geojson: ")
    assert result.error.endswith(" — correct the file; no sector was changed")


def test_geojson_with_one_bad_feature_changes_no_sector(call: Call, tmp_path: Path) -> None:
    ring = [[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]
    features = [
        {
            "type": "Feature",
            "properties": {"sector_id": sector_id, "classification": classification},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for sector_id, classification in (("a", "stable_rear"), ("b", "peaceful"))
    ]
    path = tmp_path / "sectors.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = call("sectors", "load", path)
    assert result.code == BAD_CALL
    assert "feature 2: classification must be one of active_conflict, stable_rear" in result.error
    assert call("sectors", "list", "--json").json["sectors"] == []


def test_a_negative_zoom(call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]) -> None:
    xyz_folder()
    for arguments in (
        ["dump", "--zoom", "-1"],
        ["ingest", "tiles", "--captured-at", days_ago(1), "--zoom=-1"],
    ):
        result = call(*arguments)
        assert result.code == BAD_CALL
        assert "a zoom level is a whole number within 0..22, got '-1'" in result.error


def test_a_budget_smaller_than_one_tile(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    xyz_folder()
    result = call("ingest", "tiles", "--captured-at", days_ago(1), AEROTILE_BUDGET_MAX_BYTES="100")
    assert result.code == JOB_FAILED
    error = result.err.splitlines()[-1]
    assert error.startswith("error: no room for ")
    assert "the whole budget is 100 bytes" in error
    assert error.endswith(" — raise budget.max_bytes, upload onboard tiles, or remove pins")
    assert "0 stored" in result.out
    assert "4 left" in result.out
    assert not list((tmp_path / "aerotile-data/tiles").rglob("*.jpg"))


def test_an_unknown_configuration_key(call: Call, tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text("[budget]\nmax_byte = 1\n")
    result = call("status")
    assert result.code == BAD_CALL
    assert result.error == (
        f"unknown key budget.max_byte, in {tmp_path / 'aerotile.toml'} — did you mean budget.max_bytes?"
    )


def test_an_unknown_variable(call: Call) -> None:
    result = call("status", AEROTILE_BUDGET_MAX_BYTE="1")
    assert result.code == BAD_CALL
    assert result.error.startswith("unknown variable AEROTILE_BUDGET_MAX_BYTE, in the environment — ")


def test_a_capture_time_without_an_offset(call: Call, xyz_folder: Callable[..., Path]) -> None:
    xyz_folder()
    result = call("ingest", "tiles", "--captured-at", "2024-05-01T12:00:00")
    assert result.code == BAD_CALL
    assert "write 2024-05-01T12:00:00Z for UTC" in result.error


def test_a_capture_time_in_the_future(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    xyz_folder()
    for arguments in (
        ["ingest", "tiles", "--captured-at", days_ago(-2)],
        ["explain", "0", "0", days_ago(-2)],
    ):
        result = call(*arguments)
        assert result.code == BAD_CALL
        assert "is in the future" in result.error


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("91", "0"), "must be within -90..90 degrees, got 91.0"),
        (("nan", "0"), "must be within -90..90 degrees, got nan"),
        (("0", "-180.5"), "must be within -180..180 degrees, got -180.5"),
        (("north", "0"), "'north' is not a valid float"),
    ],
)
def test_a_place_that_is_none(call: Call, place: tuple[str, str], message: str) -> None:
    result = call("explain", *place, "2024-05-01")
    assert result.code == BAD_CALL
    assert message in result.error


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "10,0,5,1", "0,0,200,1", "0,nan,1,1"])
def test_a_box_that_is_none(call: Call, box: str) -> None:
    result = call("dump", "--bbox", box)
    assert result.code == BAD_CALL
    assert "--bbox" in result.error


def test_descriptors_that_are_none(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nonsense")
    np.save("one.npy", np.zeros(4, np.float32))
    np.savez("alone.npz", descriptors=np.zeros((2, 4), np.float32))
    np.savez("counts.npz", tiles=["imported/1/0/0"], descriptors=np.zeros((2, 4), np.float32))
    np.savez("names.npz", tiles=["imported/1/2/0"], descriptors=np.zeros((1, 4), np.float32))
    np.savez("whole.npz", tiles=["imported/1/0/0"], descriptors=np.zeros((1, 4), np.int64))
    for name in ("text.npz", "one.npy", "alone.npz", "counts.npz", "names.npz", "whole.npz"):
        result = call("index", "build", name, "--model", "demo")
        assert result.code == BAD_CALL, name
        assert name in result.error
    assert not (tmp_path / "aerotile-data/index").exists()


def test_compressed_descriptors_that_no_memory_holds_are_refused_before_they_are_unpacked(
    call: Call, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiles.npy", bytes(10_000_000))
        archive.filelist[0].file_size = 1 << 50
    result = call("index", "build", "bomb.npz", "--model", "demo")
    assert result.code == BAD_CALL
    assert "bomb.npz is not a .npz with descriptors: tiles.npy takes 1073741824 MiB of memory" in result.error


def test_a_query_that_is_no_query_by_its_size_is_not_read(call: Call, tmp_path: Path) -> None:
    with (tmp_path / "q.npy").open("wb") as file:
        file.truncate(1 << 40)
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert "it is larger than 16 MiB" in result.error


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (4L,",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000000000000000,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }",
        b"{'descr': 'no type', 'fortran_order': False, 'shape': (4,), }",
        b"((((((((((((((((((((",
        b"\xff\x00",
    ],
)
def test_a_query_with_a_damaged_header(call: Call, tmp_path: Path, header: bytes) -> None:
    # numpy's format 1.0: magic, version, the header's length in two bytes, the header.
    head = header.ljust(117) + b"\n"
    (tmp_path / "q.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(16)
    )
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert result.error.startswith("q.npy is not a .npy with one descriptor: ")


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("~nosuchuser/x", "root names the home of a user that is not known here"),
        ("caf\udce9", "root must be UTF-8 text"),
    ],
)
def test_a_root_that_can_be_no_folder(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], root: str, reason: str
) -> None:
    xyz_folder()
    for command in (["status"], ["ingest", "tiles", "--captured-at", days_ago(1)]):
        result = call(*command, "--root", root)
        assert result.code == BAD_CALL
        assert result.error.startswith(reason)


def test_a_root_that_can_not_be_looked_into(call: Call) -> None:
    result = call("status", "--root", "x" * 5000)
    assert result.code == BAD_CALL
    assert "x" * 5000 in result.error


def test_a_configuration_file_that_can_not_be_looked_for(call: Call) -> None:
    result = call("status", "--config", "x" * 5000)
    assert result.code == BAD_CALL
    assert "configuration file" in result.error


@pytest.mark.parametrize("option", ["--root", "--config"])
def test_a_demo_with_a_store_that_it_would_not_use(call: Call, tmp_path: Path, option: str) -> None:
    result = call("demo", option, "elsewhere")
    assert result.code == BAD_CALL
    assert result.error.endswith(" — say with --folder where it goes")
    assert not (tmp_path / "demo-output").exists()


def test_a_query_of_another_length(call: Call) -> None:
    np.savez("d.npz", tiles=["imported/1/0/0"], descriptors=np.ones((1, 4), np.float32))
    call("index", "build", "d.npz", "--model", "demo")
    np.save("q.npy", np.ones(5, np.float32))
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert "q.npy: descriptor must have shape (4,), got (5,) — describe the frame with demo" in result.error


def test_a_name_that_could_steer_the_terminal_is_shown_harmless(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    result = call("status", "--root", "no\x1b[31mwhere\n")
    assert result.code == BAD_CALL
    assert "no\\x1b[31mwhere" in result.error
    folder = xyz_folder("tiles\x1b[31m", count=2)
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"no jpeg")
    assert "\x1b" not in call("ingest", folder.name, "--captured-at", days_ago(1)).err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system needs the right to mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount here")
def test_a_full_disk(
    call: Call,
    xyz_folder: Callable[..., Path],
    days_ago: Callable[[int], str],
    small_disk: Path,
) -> None:
    xyz_folder(count=16)
    arguments = ["ingest", "tiles", "--captured-at", days_ago(1), "--root", small_disk / "data"]
    (small_disk / "data").mkdir()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes((1 << 20) - 60_000))
    result = call(*arguments, "--batch-size", "2")
    assert result.code == JOB_FAILED
    error = result.err.splitlines()[-1]
    assert "No space left on device" in error
    assert " left; " in result.out
    ballast.unlink()
    assert call("verify", "--root", small_disk / "data", "--json").json["findings"] == []
    again = call(*arguments, "--json").json
    assert again["stored"] + again["present"] == 16
