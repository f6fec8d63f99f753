"""Signed lists in files that operators write, sign and bring elsewhere: one rule for every kind of list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from ..domain.errors import AerotileError
from .files.atomic_file import atomic_file, new_file
from .files.regular_file import read_regular
from .signatures import KEY_REMEDY, SignatureError, new_envelope, read_private_key, signed

_MODE = 0o644


@attrs.frozen(kw_only=True)
class SignedFiles:
    """The files of one kind of list."""

    payload_type: str
    most_bytes: int
    """Of a file, signatures included."""
    unreadable: type[AerotileError]
    """Raised for a file that can't be read."""
    unsignable: type[AerotileError]
    """Raised for a key that can't sign."""
    check: Callable[[bytes, str], object]
    """Called with the content of a file and its name before it is signed; raises for what is no such list."""

    def write(self, path: Path, payload: bytes) -> None:
        """Write a list without a signature to a new file. Raises `OSError`, `FileExistsError`."""
        with new_file(path, _MODE) as file:
            file.write(new_envelope(payload, self.payload_type))

    def read(self, path: Path) -> bytes:
        """The content of a list's file. Raises `unreadable`."""
        try:
            return read_regular(path, self.most_bytes, follow=True)
        except OSError as error:
            raise self.unreadable(f"{path} can't be read: {error.strerror or error}") from error

    def sign(self, path: Path, key_file: Path) -> None:
        """Add a signature to a list's file; when this raises, the file is as before.

        Raises `unreadable`, `unsignable`, what `check` raises, and `OSError`.
        """
        self.check(self.read(path), str(path))
        with atomic_file(path, _MODE) as file:
            # Read again: what another program has signed meanwhile must not be lost.
            try:
                content = signed(self.read(path), self.payload_type, read_private_key(key_file))
            except SignatureError as error:
                raise self.unsignable(
                    f"{path} can't be signed with {key_file}: {error}", remedy=error.remedy or KEY_REMEDY
                ) from error
            file.write(content)
