"""The folder that holds the recall list in force.

    {root}/current                       one line: the number of the list in force, the SHA-256 of its payload
    {root}/generations/000007/list.json  the list in its envelope

The list is durable before the pointer is switched to it, by one rename: a crash leaves the old list in force
or the new one. The pointer's SHA-256 tells a list from another one of the same number.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from ...domain.errors import RecallListError
from ...domain.ports.recall_source import RecallInForce
from ...domain.values.recall_list import RecallList
from ..files.generations import GenerationFolders, GenerationKind, open_generation_file
from ..files.refused_writes import refused_by_disk
from ..files.regular_file import read_at_most
from ..signatures import Trust, import_libraries, new_envelope, open_envelope, who_signed
from ..signed_files import SignedFiles
from .list_format import MOST_BYTES, PAYLOAD_TYPE, decode_list, encode_list

LIST_FILE = "list.json"
_FILE_MODE = 0o440
_ROOM_FOR_SIGNATURES = 1 << 16
_ATTEMPTS = 100
"""How often the list is read anew because another process put a newer one in force meanwhile, each time."""
_LISTS = GenerationKind(
    noun="recall list",
    unavailable=RecallListError,
    busy=RecallListError,
    remedy="apply the list again: aerotile recall apply",
    build_remedy="apply one with aerotile recall apply",
)


class RecallLists(GenerationFolders):
    """The list in force below `root`; a `RecallSource`. Methods raise `RecallListError`."""

    def __init__(self, root: Path, trust: Trust) -> None:
        super().__init__(root, _LISTS)
        self._trust = trust
        if trust.public_keys:  # a list may be applied in flight: no search waits for an import then
            import_libraries()

    def mark(self) -> Hashable:
        """See `RecallSource`: what the pointer's file is, without reading it."""
        try:
            facts = self._pointer.stat(follow_symlinks=False)
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns

    def read(self) -> RecallInForce | None:
        """See `RecallSource`."""
        pointer = self.pointer()
        for _ in range(_ATTEMPTS):
            if pointer is None:
                return None
            try:
                return self._read(*pointer)
            except RecallListError:
                before, pointer = pointer, self.pointer()
                if pointer == before:
                    raise
        raise RecallListError(
            f"the recall list in {self.root} is replaced again and again", remedy="try again later"
        )

    def apply(self, envelope: bytes, where: str) -> tuple[RecallInForce, bool]:
        """Put a list in force, durably, by one rename; and whether it was not in force already.

        `where` names the list in refusals. Raises `RecallListError` for a list that is not signed as it must
        be, is older than the one in force, or has its number and another content; and while another process
        applies one.
        """
        new = open_list(envelope, self._trust, where)
        number, name = new.recalls.number, f"{new.recalls.number:06d}"
        what = f"recall list {number} can't be put in force in {self.root}"
        with refused_by_disk(RecallListError, what, then="apply it again"), self.locked():
            last, identity = self._last()
            if number < last:
                raise RecallListError(
                    f"{where} is recall list {number}, which is older than list {last} in force",
                    remedy=f"make a list with a number above {last}",
                )
            if number == last and identity not in (None, new.identity):
                raise RecallListError(
                    f"{where} is not the recall list {number} that is in force",
                    remedy=f"make a list with a number above {last}",
                )
            if number == last and self._is_whole(name, new):
                return new, False
            self.put_file(name, LIST_FILE, envelope, _FILE_MODE)
            self.switch(name, new.identity)
            self.prune(0)
        return new, True

    def _last(self) -> tuple[int, str | None]:
        """The number of the list in force and its identity, where the pointer tells it; 0 without a list."""
        try:
            pointer = self.pointer()
        except RecallListError:  # the folder's name still tells the number, under which nothing else was
            names = self.names()
            return (int(names[-1]), None) if names else (0, None)
        return (0, None) if pointer is None else (int(pointer[0]), pointer[1])

    def _is_whole(self, name: str, new: RecallInForce) -> bool:
        try:
            return self._read(name, new.identity) == new and self.current() == name
        except RecallListError:
            return False

    def _read(self, name: str, identity: str | None) -> RecallInForce:
        folder = self.folder(name)
        path = folder / LIST_FILE
        try:
            envelope = read_at_most(open_generation_file(folder, LIST_FILE), MOST_BYTES, path)
        except OSError as error:
            raise _LISTS.unreadable(f"the recall list in force, {path},", error) from error
        try:
            found = open_list(envelope, self._trust, f"the recall list in force, {path},")
        except RecallListError as error:
            raise RecallListError(str(error), remedy=_LISTS.remedy) from error
        if found.recalls.number != int(name) or identity not in (None, found.identity):
            raise RecallListError(
                f"the recall list in force, {path}, is not the one that was applied", remedy=_LISTS.remedy
            )
        return found


def open_list(envelope: bytes, trust: Trust, where: str) -> RecallInForce:
    """A list whose signatures suffice; of another one nothing is read. Raises `RecallListError`."""
    return look_into_list(envelope, trust, where, only_trusted=True)[0]


def look_into_list(
    envelope: bytes, trust: Trust, where: str, *, only_trusted: bool = False
) -> tuple[RecallInForce, bool]:
    """A list, and whether its signatures suffice. Raises `RecallListError` when it is none."""
    try:
        opened = open_envelope(envelope, PAYLOAD_TYPE, trust)
        if only_trusted and not opened.is_trusted:
            raise RecallListError(
                f"{where} {who_signed(opened.signers, trust)}",
                remedy="sign it with aerotile recall sign, or pin the right keys in recall.public_keys",
            )
        recalls = decode_list(opened.payload)
    except ValueError as error:
        raise RecallListError(
            f"{where} is no recall list that can be used: {error}",
            remedy="make one with aerotile recall make, and sign it",
        ) from error
    return RecallInForce(recalls, opened.identity, opened.signers), opened.is_trusted


RECALL_LIST_FILES = SignedFiles(
    payload_type=PAYLOAD_TYPE,
    most_bytes=MOST_BYTES,
    unreadable=RecallListError,
    unsignable=RecallListError,
    check=lambda envelope, where: look_into_list(envelope, Trust((), 1), where),
)


def write_list(path: Path, recalls: RecallList) -> None:
    """Write a list without a signature to a new file. Raises `OSError`, `FileExistsError`.

    Raises `RecallListError`, and writes nothing, for a list that no reader takes with its signatures.
    """
    payload = encode_list(recalls)
    size = len(new_envelope(payload, PAYLOAD_TYPE))
    if size > MOST_BYTES - _ROOM_FOR_SIGNATURES:
        raise RecallListError(
            f"a list of {recalls.entries} entries takes {size} bytes, of {MOST_BYTES} at most",
            remedy="name the ground or the capture times of these tiles in place of their digests",
        )
    RECALL_LIST_FILES.write(path, payload)
