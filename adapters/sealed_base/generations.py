"""The generations of the base: sealed, signed, switched to by one rename, never changed otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs

from ...domain.errors import AerotileError, BaseSealError, BaseUnavailableError
from ...domain.values.disk_usage import blocks_of
from ..files.atomic_file import atomic_file
from ..files.generations import GenerationFolders, GenerationKind, open_generation_file
from ..files.refused_writes import refused_by_disk
from ..files.regular_file import read_at_most
from ..signatures import SignatureError, Trust, open_envelope, signed, who_signed
from .manifest import MANIFEST_FILE, MOST_MANIFEST_BYTES, PAYLOAD_TYPE, BaseManifest, decode_manifest
from .seal import FILE_MODE, SealSource, write_generation
from .seal_plan import SealPlan

REMEDY = "switch to another generation with `aerotile base rollback`, or bring a new one"
_BASE = GenerationKind(
    noun="base",
    unavailable=BaseUnavailableError,
    busy=BaseSealError,
    remedy=REMEDY,
    build_remedy="seal one with `aerotile base seal`",
)


@attrs.frozen
class SignedManifest:
    """A manifest as it lies in its generation, and whose signatures it has."""

    manifest: BaseManifest
    identity: str
    """The SHA-256 of the manifest, which binds every file."""
    signers: tuple[str, ...]
    """The pinned public keys that signed it."""
    is_trusted: bool
    """Whether as many of them signed it as are needed."""


class BaseGenerations(GenerationFolders):
    """The generations of a base; errors are `BaseUnavailableError` and `BaseSealError`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, _BASE)

    def seal(
        self,
        source: SealSource,
        plan: SealPlan,
        *,
        number: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> BaseManifest:
        """Write a new generation, whole and durable; the one in use stays in use.

        `number` is by default the one behind the newest. A crash leaves a folder that the next seal removes.
        Raises `BaseSealError`, and what `write_generation` raises.
        """
        what = f"a new generation in {self.root} can't be written"
        with refused_by_disk(BaseSealError, what, then="seal again"), self.locked():
            if number is not None:
                self.refuse_taken(number)
            with self.building(number) as partial:
                generation = int(partial.name.partition(".")[0])
                manifest = write_generation(partial, generation, source, plan, progress)
        return manifest

    def refuse_taken(self, number: int) -> None:
        """Raise `BaseSealError` for the number of a generation that is there."""
        if f"{number:06d}" in self.names():
            raise BaseSealError(
                f"{self.root} holds a generation {number:06d}",
                remedy="seal under a number that was never used",
            )

    def sign(self, name: str, private_key: bytes) -> None:
        """Add a signature to a generation's manifest, durably.

        Raises `BaseUnavailableError`, `BaseSealError`.
        """
        with self.locked():
            envelope = self._envelope(name)
            try:
                content = signed(envelope, PAYLOAD_TYPE, private_key)
            except SignatureError as error:
                raise BaseSealError(f"generation {name} can't be signed: {error}") from error
            path, what = self.folder(name) / MANIFEST_FILE, f"the signature of {name} can't be written"
            with (
                refused_by_disk(BaseSealError, what, then="sign again"),
                atomic_file(path, FILE_MODE) as file,
            ):
                file.write(content)

    def manifest(self, name: str, trust: Trust) -> SignedManifest:
        """The manifest of a generation. Raises `BaseUnavailableError`, but not for missing signatures."""
        envelope = self._envelope(name)
        try:
            opened = open_envelope(envelope, PAYLOAD_TYPE, trust)
            manifest = decode_manifest(opened.payload)
        except ValueError as error:
            raise self.damaged(name, str(error)) from error
        if manifest.name != name:
            raise self.damaged(name, f"its manifest is that of generation {manifest.name}")
        return SignedManifest(manifest, opened.identity, opened.signers, opened.is_trusted)

    def switch_to(
        self, name: str | None, trust: Trust, *, require_signature: bool, recall_number: int = 0
    ) -> SignedManifest:
        """Make a generation the one in use, by one rename; by default the newest.

        Readers of the old generation are not disturbed. Raises `BaseUnavailableError` for a generation that
        is older than the last one in use and not named, that has the number of the last one and another
        manifest, that is not signed as it must be, that was sealed under a newer recall list than
        `recall_number`, the one in force (0: none), or that is not there.
        """
        with self.locked():
            names = self.names()
            chosen = name if name is not None else (names[-1] if names else None)
            if chosen is None or chosen not in names:
                raise BaseUnavailableError(
                    f"{self.root} holds no generation {chosen or 'at all'}",
                    remedy=f"it holds {', '.join(names) or 'none'}",
                )
            last, identity = self._last_in_use(named=name is not None)
            if name is None and last is not None and int(chosen) < int(last):
                raise BaseUnavailableError(
                    f"the newest generation {chosen} is older than {last}, which was the last in use",
                    remedy=f"name it, if that is meant: aerotile base switch {chosen}",
                )
            opened = self.manifest(chosen, trust)
            if chosen == last and identity not in (None, opened.identity):
                raise BaseUnavailableError(
                    f"generation {chosen} is not the one that was in use under this number",
                    remedy="seal it under a number that was never used",
                )
            self.refuse_untrusted(opened, trust, require_signature=require_signature)
            self.refuse_recalled(opened.manifest, recall_number)
            what = f"the generation in use in {self.root} can't be switched"
            with refused_by_disk(BaseUnavailableError, what, then="try again"):
                self.switch(chosen, opened.identity)
        return opened

    def total_bytes(self) -> int:
        """Bytes of disk that all files of all generations take. Raises `BaseUnavailableError`."""
        try:
            return sum(
                blocks_of(file.stat(follow_symlinks=False).st_size)
                for name in self.names()
                for file in os.scandir(self.folder(name))
            )
        except OSError as error:
            raise BaseUnavailableError(
                f"{error.filename} can't be read: {error.strerror}", remedy="check who may read it"
            ) from error

    def refuse_untrusted(self, opened: SignedManifest, trust: Trust, *, require_signature: bool) -> None:
        """Raise `BaseUnavailableError` unless enough pinned keys signed, or no signature is required."""
        if require_signature and not opened.is_trusted:
            raise BaseUnavailableError(
                f"generation {opened.manifest.name} of the base {who_signed(opened.signers, trust)}",
                remedy="sign it with aerotile base sign, or pin the right keys in base.public_keys",
            )

    def refuse_recalled(self, manifest: BaseManifest, recall_number: int) -> None:
        """Raise `BaseUnavailableError` when the recall list in force is older than the base demands.

        `recall_number` is that of the list in force; 0: there is none.
        """
        if recall_number < manifest.recall_number:
            in_force = f"list {recall_number}" if recall_number else "no list"
            raise BaseUnavailableError(
                f"generation {manifest.name} of the base was sealed under recall list "
                f"{manifest.recall_number}, and {in_force} is in force",
                remedy=f"apply recall list {manifest.recall_number} or a newer one: aerotile recall apply",
            )

    def damaged(self, name: str, difference: str) -> BaseUnavailableError:
        """The error for a generation that is not what it should be."""
        return BaseUnavailableError(
            f"the base generation {self.folder(name)} can't be used: {difference}", remedy=REMEDY
        )

    def unreadable(self, name: str, file: str, error: OSError) -> AerotileError:
        """The error for a file of a generation that can't be read."""
        return _BASE.unreadable(f"the base generation {self.folder(name)} can't be used: {file}", error)

    def _last_in_use(self, *, named: bool) -> tuple[str | None, str | None]:
        try:
            pointer = self.pointer()
        except BaseUnavailableError:
            if not named:
                raise
            pointer = None
        return (None, None) if pointer is None else pointer

    def _envelope(self, name: str) -> bytes:
        folder = self.folder(name)
        try:
            return read_at_most(
                open_generation_file(folder, MANIFEST_FILE), MOST_MANIFEST_BYTES, folder / MANIFEST_FILE
            )
        except OSError as error:
            raise self.unreadable(name, MANIFEST_FILE, error) from error
