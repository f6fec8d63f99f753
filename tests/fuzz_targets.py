"""Every parser of outside bytes: what it takes, and how it may refuse what it does not."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click
import fuzz_samples as samples
import numpy as np

from aerotile.adapters.cli.arguments import box, moment, zoom
from aerotile.adapters.cli.errors import one_line
from aerotile.adapters.config.loader import read_config
from aerotile.adapters.config.values import parse_byte_size
from aerotile.adapters.embedded_postgres.folder import DataFolder
from aerotile.adapters.filesystem.folders import open_root
from aerotile.adapters.filesystem.identity_file import read_identity
from aerotile.adapters.filesystem.layout import flight_of, hidden_file, parse_sidecar
from aerotile.adapters.http.protocol import read_answers, read_problem
from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.folder_notes import NOTE_FILES, read_folder_notes
from aerotile.adapters.input_files.tile_folder import TileFile, count_outside
from aerotile.adapters.input_files.tile_scheme import TileScheme, settle_scheme
from aerotile.adapters.provider.admission import judge_tile
from aerotile.adapters.provider.behaviour import parse_fault
from aerotile.adapters.provider.frames import split_frames
from aerotile.adapters.recorder.reader import RecordReader
from aerotile.adapters.tile_services.address import TileAddress
from aerotile.adapters.tile_services.capabilities import read_capabilities
from aerotile.domain.policies.jpeg import describe_jpeg_fault, is_picture, walk_jpeg
from aerotile.domain.policies.retry_after import retry_after_s
from aerotile.domain.values.tile_key import VariantTable, decode_tile_key
from aerotile.domain.values.tiles import TileSource, parse_tile_id
from aerotile.ext import CatalogueCopy, TileKeyCodec
from aerotile.ext import walk_jpeg as compiled_walk_jpeg

Parse = Callable[[bytes, Path], object]
VARIANTS = VariantTable((samples.FLIGHT,))


@attrs.frozen
class Parser:
    """One parser; `parse` gets the bytes and an empty folder of its own."""

    name: str
    parse: Parse
    refusals: tuple[type[Exception], ...]
    samples: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    """Parts that mean something to it."""


def in_file(name: str, parse: Callable[[Path], object]) -> Parse:
    def run(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return parse(folder / name)

    return run


def of_text(parse: Callable[[str], object], encoding: str = "utf-8") -> Parse:
    return lambda content, _: parse(content.decode(encoding, "surrogateescape"))


def environment(content: bytes, folder: Path) -> object:
    pairs = (line.partition(b"=") for line in content.split(b"\n"))
    named = {f"AEROTILE_{_decoded(name)}": _decoded(value) for name, _, value in pairs}
    return read_config(environment=named, folder=folder)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def record(content: bytes, folder: Path) -> object:
    """Whatever a file holds, a reader gives its whole lines and counts the rest; they can be shown."""
    path = folder / "record-000001.jsonl"
    path.write_bytes(content)
    reader = RecordReader(folder)
    found = list(reader.lines())
    for line in found:
        line.json.decode()
        one_line(f"{line.envelope.wall_time.isoformat()} {line.envelope.kind} {line.envelope.payload}")
    assert reader.damaged_lines + len(found) <= content.count(b"\n") + 1 + len(content) // (1 << 20)
    return found


def checked_line(content: bytes, folder: Path) -> object:
    """As `record`, past the checksum."""
    return record(b"%08x %s\n" % (zlib.crc32(content), content), folder)


def copy(content: bytes, _: Path) -> object:
    copy = CatalogueCopy()
    cut = zlib.crc32(content) % (len(content) + 1)
    copy.feed(content[:cut])
    copy.feed(content[cut:])
    columns, variants = copy.finish()
    assert len(columns.keys) == copy.rows
    return variants


def tile_keys(content: bytes, _: Path) -> object:
    """The reference and the compiled decoders say the same of every key."""
    keys = np.frombuffer(content[: len(content) // 8 * 8], np.int64)
    codec = TileKeyCodec(VARIANTS)
    refused = 0
    for key in keys.tolist():
        found: list[Any] = []
        for decode in (lambda k: decode_tile_key(k, VARIANTS), codec.decode):
            try:
                found.append(decode(key))
            except (ValueError, KeyError):
                found.append(None)
        assert found[0] == found[1], key
        refused += found[0] is None
    tile_ids = codec.decode_many(keys)
    assert refused == 0
    return tile_ids


def identity(path: Path) -> object:
    return read_identity(open_root(path.parent), path.parent)


def jpeg(content: bytes, _: Path) -> object:
    walk = walk_jpeg(content)
    assert walk == compiled_walk_jpeg(content)
    if not is_picture(walk, 256):
        raise ValueError(describe_jpeg_fault(walk, content, 256))
    return walk


def folder_note(content: bytes, folder: Path) -> object:
    refusals = []
    for name in NOTE_FILES:
        (folder / name).write_bytes(content)
        try:
            for note in read_folder_notes(folder):
                settle_scheme(None, [note])
                count_outside(note, [], TileScheme.XYZ)
        except InputFileError as refusal:
            refusals.append(refusal)
        (folder / name).unlink()
    if len(refusals) == len(NOTE_FILES):
        raise refusals[0]
    return refusals


def sidecar(content: bytes, folder: Path) -> object:
    (folder / "7.jpg.sha256").write_bytes(content)
    ours = parse_sidecar(content.decode("ascii", errors="replace"), "7.jpg")
    foreign = TileFile(str(folder / "7.jpg"), 5, 1, 7, 10, True).claimed_sha256()
    assert ours in (None, foreign)
    return foreign


def provider_answers(content: bytes, _: Path) -> object:
    read_problem(content)
    text = content.decode("latin-1")
    waited = retry_after_s(text, text[::-1], samples.NOON)
    assert waited is None or waited >= 0
    return read_answers(content, samples.BATCH)


def capabilities(content: bytes, _: Path) -> object:
    """WMTS capabilities, and the address of the tiles that they lead to."""
    url = "https://host/wmts.xml"
    layer = read_capabilities(content, name=url, url=url, layer=None, tile_size=256, hide=str)
    return TileAddress(layer.template, None, layer.matrices)


def frames(content: bytes, _: Path) -> object:
    return [judge_tile(frame) for frame in split_frames(content, 100)]


def server_state(content: bytes, folder: Path) -> object:
    state = DataFolder(folder)
    for file in (state.server_lock, state.password_file):
        file.write_bytes(content)
    state.cluster.mkdir(exist_ok=True)
    (state.cluster / "postmaster.pid").write_bytes(content)
    pid = state.stale_pid()
    assert pid is None or pid > 0
    state.running_server()
    return state.password()


def arguments(text: str) -> object:
    """Every argument parser on its own gets the text; the first refusal is raised when all were asked."""
    refusals = []
    for parse in (moment, zoom, box, parse_byte_size, parse_tile_id):
        try:
            parse(text)
        except (click.BadParameter, ValueError) as refusal:
            refusals.append(refusal)
    parse_fault(text)
    return flight_of(text), hidden_file(TileSource.IMPORTED, None, text), refusals
