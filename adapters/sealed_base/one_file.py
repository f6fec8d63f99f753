"""A generation in one file, for a stick: a tar archive that holds its files and nothing else.

The manifest comes first, then `digests`, then the other files in the manifest's order, each below the name of
the generation. Owner, time and mode are fixed, so that the same generation gives the same bytes; a reader
computes each header itself and compares it, so that nothing else is ever read of one.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from ...domain.errors import BaseSealError
from ..files.atomic_file import atomic_file, new_file
from ..files.file_digests import PartHasher
from ..files.generations import open_generation_file
from ..files.refused_writes import refused_by_disk
from ..files.regular_file import open_regular
from ..signatures import Trust, payload_of
from .export import check_copy
from .generations import BaseGenerations, SignedManifest
from .manifest import (
    DIGEST_BYTES,
    DIGESTS_FILE,
    FACTS_FILE,
    KEY_BYTES,
    MANIFEST_FILE,
    MOST_MANIFEST_BYTES,
    PAYLOAD_TYPE,
    BaseManifest,
    decode_manifest,
)
from .mapped_base import MappedBase, open_base
from .seal import FILE_MODE

_CHUNK_BYTES = 4 << 20
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_HANDED_ON_MODE = 0o644
_FIRST_NAME = re.compile(rf"([0-9]{{6,18}})/{re.escape(MANIFEST_FILE)}")
Progress = Callable[[int, int], None]


def export_file(
    generations: BaseGenerations,
    name: str,
    target: Path,
    trust: Trust,
    progress: Progress = lambda done, total: None,
) -> tuple[SignedManifest, str]:
    """Write a generation to the new file `target`; returns its manifest and the SHA-256 of the file.

    The digest lies beside it too, in `target`.sha256, as `sha256sum -c` reads it. Each part is hashed when it
    is copied, and the file is read back. `progress(done, total)` counts bytes. Raises `BaseUnavailableError`
    for a generation that can't be read, `BaseSealError` for one that is damaged, and for a file that is there
    already, can't be written, or reads back otherwise.
    """
    with closing(open_base(generations, name, trust, require_signature=False)) as base:
        if target.exists():
            raise BaseSealError(f"{target} is there already", remedy="name a new file")
        with refused_by_disk(BaseSealError, f"{name} can't be copied to {target}", then="export again"):
            with atomic_file(target, _HANDED_ON_MODE, is_new=True) as file:
                written = _write(base, file, progress)
            if _digest(target) != written:
                target.unlink()
                raise BaseSealError(
                    f"{target} does not read back as it was written",
                    remedy="use another stick, then export again",
                )
            with atomic_file(target.with_name(f"{target.name}.sha256"), _HANDED_ON_MODE) as beside:
                beside.write(f"{written}  {target.name}\n".encode())
        return base.signed, written


def import_file(
    generations: BaseGenerations,
    source: Path,
    trust: Trust,
    progress: Progress = lambda done, total: None,
) -> SignedManifest:
    """Add the generation in the file `source`, whole, durable and hashed; it is not switched to.

    An interrupted import is removed by the next one, and by the next seal. `progress(done, total)` counts
    bytes. Raises `BaseSealError` for a file that is no such export or damaged, and for a generation that is
    there already; `BaseUnavailableError` for a folder of generations that can't be read.
    """
    what = f"{source} can't be copied to {generations.root}"
    with (
        refused_by_disk(BaseSealError, what, then="import again"),
        os.fdopen(open_regular(source, os.O_RDONLY, follow=True), "rb") as file,
        generations.locked(),
    ):
        name, envelope, manifest = _read_manifest(file, source)
        if name in generations.names():
            raise BaseSealError(
                f"{generations.root} holds a generation {name}",
                remedy="it is there already, or remove that one",
            )
        sizes = _sizes(manifest)
        total = _length(len(envelope), sizes)
        if os.fstat(file.fileno()).st_size != total:
            raise _no_export(source, f"it has {os.fstat(file.fileno()).st_size} bytes, not {total}")
        with generations.building(int(name)) as partial:
            with new_file(partial / MANIFEST_FILE, FILE_MODE) as copy:
                copy.write(envelope)
            for each, size in sizes.items():
                _expect_header(file, f"{name}/{each}", size, source)
                with new_file(partial / each, FILE_MODE) as copy:
                    for chunk in _exactly(file, size, source):
                        copy.write(chunk)
                        progress(file.tell(), total)
                _skip_padding(file, size, source)
            if file.read(len(_END)) != _END:
                raise _no_export(source, "it does not end as it should")
            check_copy(generations, partial, name, trust)
    return generations.manifest(name, trust)


def _write(base: MappedBase, file: BinaryIO, progress: Progress) -> str:
    """Write the archive; returns its SHA-256."""
    manifest, whole = base.signed.manifest, hashlib.sha256()
    names = (MANIFEST_FILE, DIGESTS_FILE, *manifest.file_names)
    sizes = {name: (base.folder / name).stat().st_size for name in names}
    total, done = sum(sizes.values()), 0

    def put(content: bytes) -> None:
        file.write(content)
        whole.update(content)

    for name, size in sizes.items():
        put(_header(f"{manifest.name}/{name}", size))
        sealed = manifest.files.get(name)
        parts = None if sealed is None else PartHasher(sealed.part_bytes)
        with os.fdopen(open_generation_file(base.folder, name), "rb") as source:
            for chunk in _exactly(source, size, base.folder / name):
                put(chunk)
                if parts is not None:
                    parts.update(chunk)
                done += len(chunk)
                progress(done, total)
        if sealed is not None and parts is not None and parts.digests().root != sealed.digest:
            raise BaseSealError(
                f"{base.folder / name} is damaged",
                remedy="check it with aerotile base verify, then bring the generation again",
            )
        put(bytes(-size % _BLOCK))
    put(_END)
    return whole.hexdigest()


def _header(name: str, size: int) -> bytes:
    """The header of a file, which depends on its name and its size alone."""
    facts = tarfile.TarInfo(name)
    facts.size, facts.mode = size, FILE_MODE
    return facts.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _read_manifest(file: BinaryIO, source: Path) -> tuple[str, bytes, BaseManifest]:
    """The name of the generation, its envelope, and what is in it."""
    block = file.read(_BLOCK)
    try:
        facts = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        first = _FIRST_NAME.fullmatch(facts.name)
        if first is None or not 0 < facts.size <= MOST_MANIFEST_BYTES:
            raise ValueError("it does not begin with a manifest")
        if block != _header(facts.name, facts.size):
            raise ValueError("the header of its manifest is not as an export writes it")
        envelope = b"".join(_exactly(file, facts.size, source))
        _skip_padding(file, facts.size, source)
        manifest = decode_manifest(payload_of(envelope, PAYLOAD_TYPE))
    except (tarfile.TarError, ValueError) as error:
        raise _no_export(source, str(error)) from error
    if manifest.name != first[1]:
        raise _no_export(source, f"its manifest is that of generation {manifest.name}, not {first[1]}")
    return manifest.name, envelope, manifest


def _sizes(manifest: BaseManifest) -> dict[str, int]:
    """The files behind the manifest, in order, with their sizes."""
    parts = sum(each.parts for each in manifest.files.values())
    digests = parts * DIGEST_BYTES + manifest.files[FACTS_FILE].parts * KEY_BYTES
    return {DIGESTS_FILE: digests} | {name: manifest.files[name].size for name in manifest.file_names}


def _length(manifest_bytes: int, sizes: dict[str, int]) -> int:
    return sum(_BLOCK + size + -size % _BLOCK for size in (manifest_bytes, *sizes.values())) + len(_END)


def _expect_header(file: BinaryIO, name: str, size: int, source: Path) -> None:
    if file.read(_BLOCK) != _header(name, size):
        raise _no_export(source, f"{name} does not lie where it should")


def _skip_padding(file: BinaryIO, size: int, source: Path) -> None:
    if any(file.read(-size % _BLOCK)):
        raise _no_export(source, "it holds bytes that no export writes")


def _exactly(file: BinaryIO, size: int, source: Path) -> Iterator[bytes]:
    """The next `size` bytes of a file, in chunks."""
    while size:
        chunk = file.read(min(size, _CHUNK_BYTES))
        if not chunk:
            raise _no_export(source, "it is cut short")
        size -= len(chunk)
        yield chunk


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        # What the stick holds, and not what memory still has of the writing; the file is synced.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(_CHUNK_BYTES):
            whole.update(chunk)
    return whole.hexdigest()


def _no_export(source: Path, difference: str) -> BaseSealError:
    return BaseSealError(
        f"{source} is no whole export of a base: {difference}",
        remedy="export it again with aerotile base export --file, and compare the SHA-256",
    )
