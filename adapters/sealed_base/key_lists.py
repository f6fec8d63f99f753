"""The lists of keys that were applied here: a chain that begins with the keys that the configuration pins.

    {root}/current                       one line: the number of the list in force, the SHA-256 of its payload
    {root}/generations/000002/keys.json  each list in its envelope, signed by the keys of the list before

Each list is durable before the pointer is switched to it, by one rename: a crash leaves the old list in force
or the new one. The lists before stay, so that the chain can be checked at each opening of a base.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from ...domain.errors import BaseSealError, BaseUnavailableError
from ..files.generations import GenerationFolders, GenerationKind, open_generation_file
from ..files.refused_writes import refused_by_disk
from ..files.regular_file import read_at_most
from ..signatures import Trust, open_envelope, who_signed
from ..signed_files import SignedFiles
from .key_list import MOST_BYTES, PAYLOAD_TYPE, KeyList, decode_key_list

LIST_FILE = "keys.json"
_FILE_MODE = 0o440
_LISTS = GenerationKind(
    noun="list of keys",
    unavailable=BaseUnavailableError,
    busy=BaseUnavailableError,
    remedy="remove the folder of the lists and apply them again, oldest first: aerotile base keys apply",
    build_remedy="apply one with aerotile base keys apply",
)


@attrs.frozen
class SignedKeyList:
    """A list, and whose signatures it has."""

    keys: KeyList
    identity: str
    """The SHA-256 of its payload."""
    signers: tuple[str, ...]
    """The keys that counted before it, and that signed it."""
    is_trusted: bool
    """Whether as many of them signed it as are needed."""


class KeyLists(GenerationFolders):
    """The lists below `root`; `pinned`: what the configuration trusts. Methods raise `BaseUnavailableError`.

    `of_recalls`: the keys that sign recall lists; none of them may sign a base.
    """

    def __init__(self, root: Path, pinned: Trust, of_recalls: tuple[str, ...] = ()) -> None:
        super().__init__(root, _LISTS)
        self._pinned = pinned
        self._of_recalls = frozenset(of_recalls)

    def in_force(self) -> SignedKeyList | None:
        """The list in force; None where the pinned keys are. The chain down to the pinned keys is checked."""
        pointer = self.pointer()
        if pointer is None or not self._pinned.public_keys:
            return None
        last, identity = pointer
        names = [name for name in self.names() if int(name) <= int(last)]
        if last not in names:
            raise BaseUnavailableError(f"{self.root} lacks the list of keys in force", remedy=_LISTS.remedy)
        chain: list[tuple[str, bytes]] = []
        trust, found = self._pinned, None
        for name in reversed(names):
            envelope = self._envelope(name)
            look = self._look(envelope, self._pinned, name)
            if look.keys.gives(self._pinned):
                found = look  # its keys were pinned since: the lists before count no more
                break
            chain.append((name, envelope))
        for name, envelope in reversed(chain):
            where = f"the list of keys {self.folder(name) / LIST_FILE}"
            found = _refuse_untrusted(self._look(envelope, trust, name), trust, where, _LISTS.remedy)
            trust = found.keys.trust
        assert found is not None  # `last` is one of the names
        if identity not in (None, found.identity):
            raise BaseUnavailableError(
                f"the list of keys in {self.folder(last)} is not the one that was applied",
                remedy=_LISTS.remedy,
            )
        self._refuse_shared(found.keys, f"the list of keys {found.keys.number} in force")
        return found

    def trust(self) -> Trust:
        """The keys and the threshold that count now."""
        found = self.in_force()
        return self._pinned if found is None else found.keys.trust

    def open(self, envelope: bytes, where: str) -> SignedKeyList:
        """A list that may be applied here, by its signatures and its keys. `where` names it in refusals."""
        trust = self.trust()
        if not trust.public_keys:
            raise BaseUnavailableError(
                f"{where} can't be checked: no key is pinned",
                remedy="pin the keys that signed it in base.public_keys",
            )
        new = look_into_key_list(envelope, trust, where)
        last, identity = self._last()
        if new.keys.number < last:
            raise BaseUnavailableError(
                f"{where} is list of keys {new.keys.number}, which is older than list {last} in force",
                remedy=f"make a list with a number above {last}",
            )
        if new.keys.number == last and identity not in (None, new.identity):
            raise BaseUnavailableError(
                f"{where} is not the list of keys {last} that is in force",
                remedy=f"make a list with a number above {last}",
            )
        if new.keys.number == last:
            return new  # in force: the list before signed it, and a list need not sign itself
        self._refuse_shared(new.keys, where)
        return _refuse_untrusted(
            new,
            trust,
            where,
            "sign it with the keys in force: aerotile base keys sign; apply lists that lie between first",
        )

    def apply(self, envelope: bytes, where: str) -> tuple[SignedKeyList, bool]:
        """Put a list in force, durably, by one rename; and whether it was not in force already.

        Raises `BaseUnavailableError` for a list that the keys in force have not signed as it must be, that is
        older than the list in force, or has its number and another content; and beside another application.
        """
        what = f"{where} can't be put in force in {self.root}"
        with refused_by_disk(BaseUnavailableError, what, then="apply it again"), self.locked():
            new = self.open(envelope, where)
            last, _ = self._last()
            if new.keys.number == last:
                return new, False
            for name in self.names():  # of a crash; never in force, so not a part of the chain
                if int(name) > last:
                    self.remove(name)
            name = f"{new.keys.number:06d}"
            self.put_file(name, LIST_FILE, envelope, _FILE_MODE)
            self.switch(name, new.identity)
        return new, True

    def _last(self) -> tuple[int, str | None]:
        """The number and the identity of the list in force; 0 without one."""
        pointer = self.pointer()
        return (0, None) if pointer is None else (int(pointer[0]), pointer[1])

    def _envelope(self, name: str) -> bytes:
        path = self.folder(name) / LIST_FILE
        try:
            return read_at_most(open_generation_file(self.folder(name), LIST_FILE), MOST_BYTES, path)
        except OSError as error:
            raise _LISTS.unreadable(f"the list of keys {path}", error) from error

    def _look(self, envelope: bytes, trust: Trust, name: str) -> SignedKeyList:
        where = f"the list of keys {self.folder(name) / LIST_FILE}"
        found = look_into_key_list(envelope, trust, where, _LISTS.remedy)
        if found.keys.number != int(name):
            raise BaseUnavailableError(f"{where} is list {found.keys.number}", remedy=_LISTS.remedy)
        return found

    def _refuse_shared(self, keys: KeyList, where: str) -> None:
        shared = self._of_recalls & set(keys.public_keys)
        if shared:
            raise BaseUnavailableError(
                f"{where} has a key of recall.public_keys, {min(shared)}",
                remedy="a key signs bases or recall lists, never both: make a list without it",
            )


def look_into_key_list(
    envelope: bytes,
    trust: Trust,
    where: str,
    remedy: str = "make one with aerotile base keys make, and sign it",
) -> SignedKeyList:
    """A list, and which keys of `trust` signed it. Raises `BaseUnavailableError` when it is none."""
    try:
        opened = open_envelope(envelope, PAYLOAD_TYPE, trust)
        keys = decode_key_list(opened.payload)
    except ValueError as error:
        raise BaseUnavailableError(f"{where} is no list of keys: {error}", remedy=remedy) from error
    return SignedKeyList(keys, opened.identity, opened.signers, opened.is_trusted)


KEY_LIST_FILES = SignedFiles(
    payload_type=PAYLOAD_TYPE,
    most_bytes=MOST_BYTES,
    unreadable=BaseUnavailableError,
    unsignable=BaseSealError,
    check=lambda envelope, where: look_into_key_list(envelope, Trust((), 1), where),
)


def _refuse_untrusted(found: SignedKeyList, trust: Trust, where: str, remedy: str) -> SignedKeyList:
    if not found.is_trusted:
        raise BaseUnavailableError(f"{where} {who_signed(found.signers, trust)}", remedy=remedy)
    return found
