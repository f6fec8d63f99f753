"""Hostile tiles: refused by their headers, never decoded, or kept byte for byte and never read."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_content import INJECTION, STEERING, Answer
from PIL import Image


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack("!H", len(content) + 2) + content


def jpeg(*segments: bytes, size: tuple[int, int] = (256, 256)) -> bytes:
    """The skeleton of a JPEG that claims a size."""
    frame = segment(0xC0, struct.pack("!BHHB", 8, size[1], size[0], 1) + b"\x01\x11\x00")
    return b"\xff\xd8" + b"".join(segments) + frame + segment(0xDA, b"\x01\x01\x00\x00?\x00") + b"\0\xff\xd9"


EXIF = segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 5000)
HOSTILE_TILES = {
    "claims 65500 x 65500": (jpeg(size=(65500, 65500)), "is 65500 x 65500 pixels"),
    "claims nothing": (jpeg(size=(0, 0)), "leaves its height to a later marker"),
    "page with markers": (b"\xff\xd8\xff<script>alert(1)</script>\xff\xd9", "no marker can stand"),
    "gif": (b"GIF89a" + bytes(50) + b"\xff\xd9", "is a GIF"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is a PNG"),
    "segment that leads nowhere": (b"\xff\xd8\xff\xe0\xff\xff" + bytes(9) + b"\xff\xd9", "is cut short"),
    "segment of no length": (b"\xff\xd8\xff\xe0\0\0" * 3 + b"\xff\xd9", "the header at byte 2 is impossible"),
    "frame in another's comment": (
        b"\xff\xd8" + segment(0xFE, jpeg()[2:-2]) + segment(0xDA, b"\0") + b"\xff\xd9",
        "no frame header",
    ),
    "a million fill bytes": (b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xd9", "no frame header"),
    "a million empty segments": (b"\xff\xd8" + b"\xff\xe0\0\x02" * 250_000 + b"\xff\xd9", "no frame header"),
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
    assert refused["2.jpg"] == refused["3.jpg"] == "is no plain file"
    assert set(refused) == {"1.jpg", "2.jpg", "3.jpg", "4.jpg"}


def test_what_a_tile_carries_besides_its_picture_is_kept_byte_for_byte_and_never_read(
    call: Callable[..., Answer], tmp_path: Path
) -> None:
    column = tmp_path / "tiles/3/1"
    column.mkdir(parents=True)
    stream = io.BytesIO()
    Image.new("RGB", (256, 256), (1, 2, 3)).save(stream, "JPEG")
    comment = segment(0xFE, b"<script>" + INJECTION.encode() + STEERING.encode())
    zip_behind = b"PK\x05\x06" + bytes(18)
    content = b"\xff\xd8" + EXIF + comment + stream.getvalue()[2:] + zip_behind
    (column / "1.jpg").write_bytes(content)
    assert call("ingest", "tiles", "--captured-at", "2026-05-01").code == 0
    assert (tmp_path / "aerotile-data/tiles/imported/3/1/1.jpg").read_bytes() == content
