"""Tiles and folders that can't be ingested, one line each as a person sees it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

MakeFolder = Callable[..., Path]
DaysAgo = Callable[[int], str]


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


def test_a_tile_that_is_no_jpeg(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    folder = xyz_folder()
    (folder / "7/60/1.jpg").write_text("<html>tile server error</html>")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert result.err.startswith(
        "error: 1 of 4 tiles was refused: tiles/7/60/1.jpg: tile imported/7/60/1 is an HTML page"
    )
    assert result.err.count("\n") == 1
    assert result.err.endswith("; 3 others were stored or are present\n")
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
    assert result.err.endswith("; no other was stored\n")
    assert call("dump").out == ""


def test_a_tile_of_another_size(
    call: Call, tmp_path: Path, jpeg: Callable[..., bytes], days_ago: Callable[[int], str]
) -> None:
    (tmp_path / "tiles/7/60").mkdir(parents=True)
    (tmp_path / "tiles/7/60/0.jpg").write_bytes(jpeg(size=(512, 256)))
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert "is 512 x 256 pixels, expected 256 x 256 (tiles.tile_size_pixels)" in result.err


def test_a_tile_off_the_grid(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]
) -> None:
    xyz_folder(zoom=3, x=60, count=1)
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == JOB_FAILED
    assert "tiles/3/60/0.jpg: x must be an integer within 0..7 at zoom 3, got 60" in result.err


def test_a_budget_smaller_than_one_tile(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    xyz_folder()
    result = call("ingest", "tiles", "--captured-at", days_ago(1), AEROTILE_BUDGET_MAX_BYTES="100")
    assert result.code == JOB_FAILED
    error = result.err.splitlines()[-1]
    assert error.startswith("error: no room for ")
    assert "the whole budget is 100 bytes" in error
    assert " — raise budget.max_bytes, upload onboard tiles (aerotile upload), or lift pins" in error
    assert "0 stored" in result.out
    assert "4 left" in result.out
    assert not list((tmp_path / "aerotile-data/tiles").rglob("*.jpg"))


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
        ["explain", "0", "0", days_ago(-2), "--zoom", "12"],
    ):
        result = call(*arguments)
        assert result.code == BAD_CALL
        assert "is in the future" in result.error


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


@pytest.fixture
def noise() -> bytes:
    """A picture of many colours."""
    from PIL import Image

    stream = io.BytesIO()
    array = np.random.default_rng(18).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(array).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: whole[: whole.index(b"\xff\xda")] + b"\xff\xd9", "has no scan data"),
        (lambda whole: whole[: len(whole) // 2], "is cut short: it ends at byte"),
        (
            lambda whole: whole[: len(whole) // 2] + b"\0\xff\xd9",
            "does not decode: its picture ends before its size does",
        ),
        (lambda whole: b"\x89PNG\r\n\x1a\n" + whole, "is a PNG"),
        (lambda whole: b"", "is empty"),
    ],
    ids=["header_only", "cut", "truncated_plus_end", "png", "empty"],
)
def test_a_tile_that_no_decoder_shows_is_refused_by_name(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, noise: bytes, change: Any, reason: str
) -> None:
    folder = xyz_folder(count=2)
    (folder / "7/60/1.jpg").write_bytes(change(noise))
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--json")
    assert result.code == JOB_FAILED
    assert (result.json["stored"], result.json["refused"]) == (1, 1)
    assert reason in result.json["refusals"][0]["message"]


def test_bytes_behind_a_picture_are_kept(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, noise: bytes, tmp_path: Path
) -> None:
    folder = xyz_folder(count=1)
    (folder / "7/60/0.jpg").write_bytes(noise + b"\0\0\0")
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    assert (tmp_path / "aerotile-data/tiles/imported/7/60/0.jpg").read_bytes() == noise + b"\0\0\0"
    (row,) = call("dump").json_lines
    assert row["content_sha256"] == hashlib.sha256(noise + b"\0\0\0").hexdigest()


def test_what_is_not_known_without_decoding_is_said(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, noise: bytes
) -> None:
    folder = xyz_folder(count=2)
    (folder / "7/60/1.jpg").write_bytes(noise[: len(noise) // 2] + b"\0\xff\xd9")
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--no-decode")
    assert result.code == 0
    assert "2 stored" in result.out
    assert "not decoded, so not known: whether a picture ends before its size does" in result.out
    again = call("ingest", "tiles", "--captured-at", days_ago(1), "--no-decode", "--json").json
    assert (again["decoded"], again["blank"], len(again["not_known"])) == (False, None, 2)


def test_blank_and_repeated_tiles_are_counted(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, noise: bytes, jpeg: Callable[..., bytes]
) -> None:
    folder = xyz_folder(count=2)
    (folder / "7/60/1.jpg").write_bytes(jpeg(100))
    for y in (2, 3, 4):
        (folder / f"7/60/{y}.jpg").write_bytes(noise)
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 0
    assert "2 blank: all of one colour" in result.out
    assert "3 repeated: their bytes lie at several places" in result.out
    assert "most often those of 7/60/2 (3 times)" in result.out
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (facts["blank"], facts["repeated"]) == (2, 3)


def test_a_text_without_end_in_a_file_is_not_shown_whole(call: Call, xyz_folder: MakeFolder) -> None:
    xyz_folder()
    Path("item.json").write_text(json.dumps({"type": "x" * 1_000_000}))
    refused = call("ingest", "tiles", "--stac", "item.json")
    assert (refused.code, len(refused.err) < 20_000) == (BAD_CALL, True)
    assert "it is no STAC item but 'xxx" in refused.err
