"""Opening a generation: its manifest and signatures are checked, its files are mapped, no tile is read."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import BaseUnavailableError
from ...domain.values.catalogue_entries import Keys
from ...domain.values.counted import counted
from ...domain.values.sectors import FreshnessRule, SectorBoundary
from ...ext import MappedPixels, map_file
from ..files.generations import open_generation_file
from ..files.regular_file import read_at_most
from ..pmtiles.archive_directory import ArchiveError
from ..pmtiles.archive_header import HEADER_BYTES, decode_header
from ..signatures import Trust
from . import facts
from .generations import BaseGenerations, SignedManifest
from .manifest import (
    ARCHIVE_FILE,
    DIGEST_BYTES,
    DIGESTS_FILE,
    FACTS_FILE,
    KEY_BYTES,
    SECTORS_FILE,
    BaseManifest,
)
from .sector_file import decode_sectors

_MOST_SECTOR_BYTES = 256 << 20
_BROUGHT_AT_ONCE = 64 << 20
"""A whole number of pages. Between two such pieces a signal is heeded."""


@attrs.frozen(eq=False)
class MappedBase:
    """A generation whose manifest was checked. The files are checked by their parts when they are touched."""

    folder: Path
    signed: SignedManifest
    archive: MappedPixels
    facts: MappedPixels
    _digests: bytes
    first_keys: bytes
    """The tile key of the first row of each part of the facts, 8 bytes each."""
    sectors: tuple[SectorBoundary, ...]
    rules: tuple[FreshnessRule, ...]

    residency_is_known: bool
    """Whether the kernel says to this user which pages are in memory."""

    def check_part(
        self, name: str, number: int, bring: Callable[[MappedPixels], None] = MappedPixels.prefault
    ) -> None:
        """Have the disk give one part of a mapped file, by `bring`, and hash it.

        Raises `BaseUnavailableError` when the disk does not give it or it is damaged, and what `bring` raises
        beside `OSError`.
        """
        sealed = self.signed.manifest.files[name]
        begin = number * sealed.part_bytes
        length = min(sealed.part_bytes, sealed.size - begin)
        with self._mapping(name) as whole, whole.part(begin, length) as part:
            try:
                bring(part)
            except OSError as error:
                raise self._unavailable(f"the disk does not give {name}: {error.strerror}") from error
            actual = hashlib.sha256(part).digest()
        if actual != self.digest(name, number):
            raise self._unavailable(f"{name} is damaged between bytes {begin} and {begin + length}")

    def check_sizes(self) -> None:
        """Compare the sizes of all files with the manifest, those of the index too.

        Raises `BaseUnavailableError` for one that is missing or of another size.
        """
        for name, sealed in self.signed.manifest.files.items():
            try:
                size = (self.folder / name).stat().st_size
            except OSError as error:
                raise self._unavailable(f"{name} can't be read: {error.strerror}") from error
            if size != sealed.size:
                raise self._unavailable(f"{name} has {size} bytes, not {sealed.size}")

    def tile_keys(self) -> Keys:
        """The keys of all tiles, by the table of the manifest. Raises as `checked_facts`."""
        keys: Keys = self.checked_facts()["key"].copy()
        return keys

    def checked_facts(self) -> npt.NDArray[np.void]:
        """The rows of all tiles, ascending by key. Each part of the facts is hashed before.

        Raises `BaseUnavailableError` when one is damaged.
        """
        for number in range(-(-self.facts.nbytes // facts.PART_BYTES)):
            self.check_part(FACTS_FILE, number)
        return np.frombuffer(memoryview(self.facts), facts.FACTS_ROW)

    def bring_into_memory(self, *, lock: bool) -> None:
        """Wait until all tiles and facts are in memory; with `lock` they stay there while they are mapped.

        Raises `BaseUnavailableError` when the disk fails, or this process may not lock so much.
        """
        bring = MappedPixels.lock if lock else MappedPixels.prefault
        for name, mapped in ((FACTS_FILE, self.facts), (ARCHIVE_FILE, self.archive)):
            try:
                for offset in range(0, mapped.nbytes, _BROUGHT_AT_ONCE):
                    with mapped.part(offset, min(_BROUGHT_AT_ONCE, mapped.nbytes - offset)) as part:
                        bring(part)
            except OSError as error:
                if error.errno in (errno.ENOMEM, errno.EPERM, errno.EAGAIN):
                    raise BaseUnavailableError(
                        f"{mapped.nbytes} bytes of {self.folder / name} can't be locked: {error.strerror}",
                        remedy="raise the limit of locked memory (ulimit -l), or set base.memory otherwise",
                    ) from error
                raise self._unavailable(f"the disk does not give {name}: {error.strerror}") from error

    def digest(self, name: str, number: int) -> bytes:
        """The digest that a part of a file must have."""
        return self._digests[(self.signed.manifest.first_part(name) + number) * DIGEST_BYTES :][:DIGEST_BYTES]

    def close(self) -> None:
        """Give the mappings up; handles on tiles keep theirs."""
        self.archive.close()
        self.facts.close()

    @contextmanager
    def _mapping(self, name: str) -> Iterator[MappedPixels]:
        """A file of the generation; those of the index are mapped for each use."""
        known = {ARCHIVE_FILE: self.archive, FACTS_FILE: self.facts}.get(name)
        if known is not None:
            yield known
            return
        try:
            mapped = _map(self.folder, name, self.signed.manifest.files[name].size)
        except (OSError, ValueError) as error:
            raise self._unavailable(f"{name} can't be read: {error}") from error
        try:
            yield mapped
        finally:
            mapped.close()

    def _unavailable(self, difference: str) -> BaseUnavailableError:
        return BaseUnavailableError(
            f"the base generation {self.folder} can't be used: {difference}",
            remedy="switch to another generation with `aerotile base rollback`, or bring it again",
        )


def open_current_base(
    root: Path, trust: Trust, *, require_signature: bool, recall_number: int | None = None
) -> MappedBase:
    """Open the generation in use. Raises `BaseUnavailableError`, also when none is in use.

    `recall_number` is that of the recall list in force, 0 without one: a base that was sealed under a newer
    list is refused. None: it is not looked at, for tools that fly by no tile.
    """
    generations = BaseGenerations(root)
    in_use = generations.in_use()
    if in_use is None:
        raise BaseUnavailableError(
            f"no base is in use in {root}", remedy="switch to one with `aerotile base switch`"
        )
    name, identity = in_use
    base = open_base(generations, name, trust, require_signature=require_signature, identity=identity)
    if recall_number is not None:
        generations.refuse_recalled(base.signed.manifest, recall_number)
    return base


def open_base(
    generations: BaseGenerations,
    name: str,
    trust: Trust,
    *,
    require_signature: bool,
    identity: str | None = None,
) -> MappedBase:
    """Open a generation. The time that it takes does not grow with the tiles.

    Checked before this returns: the signatures, the manifest (against `identity`, where one is given), the
    sizes of the files, the digests of the parts, the header of the archive, the sectors. The files of an
    index are left to those that open it: damage to them costs no tile.
    Raises `BaseUnavailableError`.
    """
    opened = generations.manifest(name, trust)
    generations.refuse_untrusted(opened, trust, require_signature=require_signature)
    if identity not in (None, opened.identity):
        raise generations.damaged(name, "its manifest is not the one that was switched to")
    folder = generations.folder(name)
    manifest = opened.manifest
    sizes = manifest.files
    if (sizes[FACTS_FILE].size, sizes[FACTS_FILE].part_bytes) != (
        manifest.tiles * facts.FACTS_ROW.itemsize,
        facts.PART_BYTES,
    ):
        raise generations.damaged(name, f"{FACTS_FILE} has no row for each of {manifest.tiles} tiles")
    try:
        all_parts = sum(file.parts for file in sizes.values()) * DIGEST_BYTES
        digests = _read(folder, DIGESTS_FILE, all_parts + sizes[FACTS_FILE].parts * KEY_BYTES)
        digests, first_keys = digests[:all_parts], digests[all_parts:]
        if hashlib.sha256(first_keys).hexdigest() != manifest.first_keys_sha256:
            raise generations.damaged(name, f"{DIGESTS_FILE} does not hold the first keys of {FACTS_FILE}")
        for each in manifest.file_names:
            if hashlib.sha256(_digests_of(manifest, each, digests)).hexdigest() != sizes[each].digest:
                raise generations.damaged(name, f"{DIGESTS_FILE} does not hold the digests of {each}")
        sectors, rules = decode_sectors(_checked_sectors(folder, opened, digests))
        archive = _map(folder, ARCHIVE_FILE, sizes[ARCHIVE_FILE].size)
        mapped = _map(folder, FACTS_FILE, sizes[FACTS_FILE].size)
        with archive.part(0, min(HEADER_BYTES, archive.nbytes)) as start:
            start.prefault()
            header = decode_header(bytes(start), archive.nbytes)
    except OSError as error:
        raise generations.unreadable(name, str(error.filename or folder), error) from error
    except (ArchiveError, ValueError) as error:
        raise generations.damaged(name, str(error)) from error
    if (header.tiles, header.contents) != (manifest.tiles, manifest.contents):
        raise generations.damaged(
            name, f"{ARCHIVE_FILE} holds {counted(header.tiles, 'tile')}, not {manifest.tiles}"
        )
    return MappedBase(
        folder, opened, archive, mapped, digests, first_keys, sectors, rules, _residency_is_known(folder)
    )


def _residency_is_known(folder: Path) -> bool:
    """The kernel calls a file resident as a whole that this user neither owns nor may write."""
    archive = folder / ARCHIVE_FILE
    return os.geteuid() in (0, archive.stat().st_uid) or os.access(archive, os.W_OK)


def _checked_sectors(folder: Path, opened: SignedManifest, digests: bytes) -> bytes:
    sealed = opened.manifest.files[SECTORS_FILE]
    if sealed.size > _MOST_SECTOR_BYTES:
        raise ValueError(f"{SECTORS_FILE} has {sealed.size} bytes")
    content = _read(folder, SECTORS_FILE, sealed.size)
    parts = [content[at : at + sealed.part_bytes] for at in range(0, len(content), sealed.part_bytes)]
    found = b"".join(hashlib.sha256(part).digest() for part in parts)
    if found != _digests_of(opened.manifest, SECTORS_FILE, digests):
        raise ValueError(f"{SECTORS_FILE} is damaged")
    return content


def _digests_of(manifest: BaseManifest, name: str, digests: bytes) -> bytes:
    """The digests of a file's parts, one behind the other."""
    first = manifest.first_part(name)
    return digests[first * DIGEST_BYTES : (first + manifest.files[name].parts) * DIGEST_BYTES]


def _read(folder: Path, name: str, size: int) -> bytes:
    """The content of a small file that is exactly so long. Raises `OSError`, `ValueError`."""
    content = read_at_most(open_generation_file(folder, name), size, folder / name)
    if len(content) != size:
        raise ValueError(f"{name} has {len(content)} bytes, not {size}")
    return content


def _map(folder: Path, name: str, size: int) -> MappedPixels:
    """Map a file that is exactly so long. Raises `OSError`, `ValueError`."""
    descriptor = open_generation_file(folder, name)
    try:
        mapped = map_file(descriptor)
    finally:
        os.close(descriptor)
    if mapped.nbytes != size:
        raise ValueError(f"{name} has {mapped.nbytes} bytes, not {size}")
    return mapped
