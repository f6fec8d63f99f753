"""The gated write of one tile against the operating system: what it refuses, what it leaves."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gated_writes import DIGEST, PIXELS, TARGET, names, run_python
from open_descriptors import leaving_none_open

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.policies.jpeg import JpegFault
from aerotile.ext import (
    AwaitedInsert,
    GatedWrite,
    GateRefusedError,
    HashedPixels,
    hash_pixels,
    is_readable,
    walk_jpeg,
)


@pytest.mark.parametrize(
    ("pixels", "what"),
    [(PIXELS + b"\0", "length"), (PIXELS[:-1] + b"\0", "SHA-256")],
)
def test_bytes_that_were_not_promised_are_refused(pixels: bytes, what: str) -> None:
    with pytest.raises(GateRefusedError) as caught:
        GatedWrite(pixels, DIGEST, len(PIXELS), 256)
    assert caught.value.what == what
    assert str(caught.value.expected) in str(caught.value)
    assert str(caught.value.actual) in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (b"GIF89a\xff\xd9", JpegFault.NO_START),
        (PIXELS[:-2], JpegFault.CUT_SHORT),
        (example_jpeg(tile_size_pixels=512), JpegFault.NONE),
    ],
)
def test_a_refusal_holds_what_the_walk_over_the_markers_found(pixels: bytes, fault: JpegFault) -> None:
    digest = hashlib.sha256(pixels).hexdigest()
    for given in (pixels, *hash_pixels([pixels])):
        with pytest.raises(GateRefusedError) as caught:
            GatedWrite(given, digest, len(pixels), 256)
        assert (caught.value.what, caught.value.actual) == ("JPEG", walk_jpeg(pixels))
        assert walk_jpeg(pixels)[0] == fault
    if fault is JpegFault.NONE:
        GatedWrite(pixels, digest, len(pixels), 512)


def test_pixels_that_were_hashed_with_many_pass_the_gate_as_they_would_alone() -> None:
    many = [example_jpeg(bytes(length)) for length in (0, 1, 63, 64, 65, 100_000)]
    for pixels, hashed in zip(many, hash_pixels(many), strict=True):
        GatedWrite(hashed, hashlib.sha256(pixels).hexdigest(), len(pixels), 256)
        with pytest.raises(GateRefusedError, match="SHA-256"):
            GatedWrite(hashed, DIGEST, len(pixels), 256)
        with pytest.raises(GateRefusedError, match="length"):
            GatedWrite(hashed, hashlib.sha256(pixels).hexdigest(), len(pixels) + 1, 256)
    assert hash_pixels([]) == []


def test_nothing_but_bytes_is_hashed_and_what_nobody_hashed_is_refused() -> None:
    with pytest.raises(TypeError):
        hash_pixels([bytearray(PIXELS)])  # type: ignore[list-item]  # what is refused
    with pytest.raises(TypeError, match="not hashed"):
        GatedWrite(HashedPixels(PIXELS), "0" * 64, len(PIXELS), 256)


def test_without_openssl_many_are_hashed_all_the_same(folder: Path) -> None:
    hashed_by_hashlib = """
import sys
sys.modules["_hashlib"] = None
import hashlib
from aerotile.ext import GatedWrite, hash_pixels
loaded = open("/proc/self/maps").read()
pixels = bytes.fromhex("%HEX%")
GatedWrite(hash_pixels([pixels])[0], hashlib.sha256(pixels).hexdigest(), len(pixels), 256)
print("libcrypto" in loaded)
"""
    answer = subprocess.run(
        [sys.executable, "-c", hashed_by_hashlib.replace("%HEX%", example_jpeg().hex())],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert answer.stdout.strip() == "False"


def test_the_files_are_read_only_and_whole_whatever_the_umask(
    root: int, folder: Path, write: GatedWrite
) -> None:
    earlier = os.umask(0o777)
    try:
        write.place(root, TARGET)
    finally:
        os.umask(earlier)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {0o440}
    assert (folder / "5.jpg").read_bytes() == PIXELS


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_accepts_the_sidecar_and_notices_a_changed_tile(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    command = ["sha256sum", "--strict", "-c", "5.jpg.sha256"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "5.jpg").chmod(0o640)
    (folder / "5.jpg").write_bytes(PIXELS[:-3] + b"\1\xff\xd9")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1


def test_a_symbolic_link_in_the_folders_place_is_not_followed(
    root: int, folder: Path, write: GatedWrite
) -> None:
    elsewhere = folder.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(OSError):  # noqa: PT011  # ELOOP or ENOTDIR, by the kernel
        write.place(root, TARGET)
    assert names(elsewhere) == set()


def test_a_symbolic_link_in_the_tiles_place_is_replaced_not_followed(
    root: int, folder: Path, write: GatedWrite
) -> None:
    precious = folder.parent / "precious"
    precious.write_text("keep me")
    (folder / "5.jpg").symlink_to(precious)
    write.place(root, TARGET)
    assert precious.read_text() == "keep me"
    assert not (folder / "5.jpg").is_symlink()


def test_another_writers_temporary_file_is_left_alone(root: int, folder: Path, write: GatedWrite) -> None:
    (folder / ".5.jpg.1.tmp").write_text("theirs")
    with pytest.raises(FileExistsError, match="open"):
        write.place(root, TARGET)
    assert names(folder) == {".5.jpg.1.tmp"}
    assert (folder / ".5.jpg.1.tmp").read_text() == "theirs"


@pytest.mark.parametrize("name", ["../5.jpg", "a/5.jpg", "5\0.jpg"])
def test_a_name_that_leaves_the_folder_is_refused(
    root: int, folder: Path, write: GatedWrite, name: str
) -> None:
    with pytest.raises(ValueError, match="name of a file"):
        write.place(root, (TARGET[0], name, *TARGET[2:]))
    with pytest.raises(TypeError):
        write.place(root, (*TARGET[:5], "a line as text"))  # type: ignore[arg-type]  # what is refused
    assert names(folder) == set()


def test_an_answer_is_awaited_behind_what_is_written_ahead(root: int, write: GatedWrite) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = threading.Timer(0.05, theirs.sendall, [b"x"])
        answer.start()
        write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, AwaitedInsert(ours.fileno()), 600_000)
        assert is_readable(ours.fileno())
        answer.join()
    write.place(root, TARGET)


def test_an_answer_that_does_not_come_is_not_awaited_for_ever(
    root: int, folder: Path, write: GatedWrite
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, AwaitedInsert(ours.fileno()), 1)
    write.place(root, TARGET)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


INSERTED = b"C\0\0\0\x0fINSERT 0 1\0"
REFUSED = b"E\0\0\0\x0dC23505\0\0\0\0"
NOT_INSERTED = b"C\0\0\0\x0fINSERT 0 0\0"
BEGUN = b"C\0\0\0\x0aBEGIN\0"
NOTICE = b"N\0\0\0\x19SNOTICE\0C00000\0Mone\0\0"
IN_TRANSACTION, FAILED, IDLE = b"Z\0\0\0\x05T", b"Z\0\0\0\x05E", b"Z\0\0\0\x05I"


@pytest.mark.parametrize(
    ("answer", "is_placed"),
    [
        (INSERTED + IN_TRANSACTION, True),
        (BEGUN + NOTICE + INSERTED + IN_TRANSACTION, True),
        (NOT_INSERTED + IN_TRANSACTION, False),
        (BEGUN + IN_TRANSACTION, False),
        (REFUSED + FAILED, False),
        (REFUSED + IN_TRANSACTION, False),
        (INSERTED + FAILED, False),
        (INSERTED + IDLE, False),
        (INSERTED, False),
        (INSERTED + IN_TRANSACTION[:-1], False),
        (INSERTED + IN_TRANSACTION + INSERTED, False),
        (b"\x16\x03\x03\0\x40" + INSERTED + IN_TRANSACTION, False),
    ],
    ids=[
        "inserted",
        "a notice",
        "no row",
        "begun",
        "refused",
        "error",
        "failed",
        "ended",
        "unfinished",
        "cut",
        "more behind",
        "encrypted",
    ],
)
def test_an_answer_that_the_row_is_inserted_places_the_tile_and_no_other_answer_does(
    root: int, folder: Path, write: GatedWrite, answer: bytes, is_placed: bool
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, AwaitedInsert(ours.fileno()), 600_000)
        assert ours.recv(1 << 10) == answer, "the answer is left to the driver"
    assert names(folder) == ({"5.jpg", "5.jpg.sha256"} if is_placed else set())
    write.place(root, TARGET)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    write.withdraw(root)
    write.place(root, TARGET)
    assert (folder / "5.jpg").read_bytes() == PIXELS


def test_a_tile_that_an_answer_placed_is_withdrawn_as_any_other(
    root: int, folder: Path, write: GatedWrite
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(INSERTED + IN_TRANSACTION)
        write.prewrite(root, TARGET, os.fstat(root).st_dev, 0, AwaitedInsert(ours.fileno()), 600_000)
    write.withdraw(root)
    assert names(folder) == set()
    write.place(root, TARGET)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


@pytest.mark.parametrize("size", [100, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_bytes_of_any_size_are_held_to_their_hash(size: int) -> None:
    # Few are hashed with the interpreter's lock, many without it.
    pixels = PIXELS[:27] + bytes(size - 29) + PIXELS[-2:]
    other = PIXELS[:27] + bytes(size - 30) + b"\x01" + PIXELS[-2:]
    digest = hashlib.sha256(pixels).hexdigest()
    GatedWrite(pixels, digest, size, 256)
    with pytest.raises(GateRefusedError) as caught:
        GatedWrite(other, digest, size, 256)
    assert caught.value.actual == hashlib.sha256(other).hexdigest()


def test_what_was_written_ahead_ends_with_its_object(root: int, folder: Path) -> None:
    with leaving_none_open():
        for _ in range(3):
            GatedWrite(PIXELS, DIGEST, len(PIXELS), 256).prewrite(root, TARGET, os.fstat(root).st_dev)
        assert names(folder) == set()


def test_what_was_written_ahead_has_its_mode_whatever_the_umask(
    root: int, folder: Path, write: GatedWrite
) -> None:
    earlier = os.umask(0o777)
    try:
        write.prewrite(root, TARGET, os.fstat(root).st_dev)
        write.place(root, TARGET, os.fstat(root).st_dev)
    finally:
        os.umask(earlier)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {0o440}


def test_a_forked_child_writes_with_what_is_its_own(root: int, folder: Path, write: GatedWrite) -> None:
    write.place(root, TARGET)
    script = f"""
import sys
write.place(root, target)
if os.fork() == 0:
    again = GatedWrite(pixels, "{DIGEST}", len(pixels), 256)
    again.place(root, (target[0], "6.jpg", ".6.tmp", "6.jpg.sha256", ".6s.tmp", target[5]))
    os._exit(0)
print(os.wait()[1])
"""
    write.withdraw(root)
    assert run_python(script, folder.parent) == "0\n"
    assert names(folder) == {"5.jpg", "5.jpg.sha256", "6.jpg", "6.jpg.sha256"}
