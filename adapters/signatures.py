"""Signed documents: a DSSE envelope with Ed25519 signatures, a threshold of pinned keys.

The type of the payload is signed with it, so a document of one type never passes for another. The envelope,
the keys and the check are securesystemslib's; nothing here computes a signature. These libraries take 60 ms
to import, so each function imports what it uses: a process without signed documents does without them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .files.atomic_file import new_file
from .files.durable_folder import sync_folder
from .files.regular_file import open_regular, read_at_most
from .strict_json import parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # not in __all__

_MOST_KEY_BYTES = 4_096
_MOST_COMMAS = 10_000
"""Of an envelope in JSON, which has two and three for each signature: base64 has none."""
KEY_REMEDY = "name the private key that aerotile base keygen wrote; the public one ends in .pub"
_SECRET_MODE, _PUBLIC_MODE = 0o400, 0o444
_RIGHTS_OF_OTHERS = 0o077


class SignatureError(ValueError):
    """An envelope, a key or a signature can't be used."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@attrs.frozen
class Trust:
    """Whose signatures count, and how many of them are needed."""

    public_keys: tuple[str, ...]
    """Ed25519, 64 lower hexadecimal digits each."""
    threshold: int


@attrs.frozen
class SignedPayload:
    """What an envelope holds, and whose signatures it has."""

    payload: bytes
    identity: str
    """The SHA-256 of the payload."""
    signers: tuple[str, ...]
    """The pinned public keys that signed it."""
    is_trusted: bool
    """Whether as many of them signed it as are needed."""


def import_libraries() -> None:
    """Import now what a check would import."""
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401 # for its import alone
    from securesystemslib import dsse, signer  # noqa: F401


def new_envelope(payload: bytes, payload_type: str) -> bytes:
    """An envelope without a signature."""
    from securesystemslib.dsse import Envelope

    return _encode(Envelope(payload, payload_type, {}))


def open_envelope(envelope: bytes, payload_type: str, trust: Trust) -> SignedPayload:
    """The payload and its signers, trusted or not. Raises `SignatureError` for no envelope of this type."""
    payload, signers = payload_of(envelope, payload_type), signers_of(envelope, payload_type, trust)
    is_trusted = bool(trust.public_keys) and len(signers) >= trust.threshold
    return SignedPayload(payload, hashlib.sha256(payload).hexdigest(), signers, is_trusted)


def who_signed(signers: tuple[str, ...], trust: Trust) -> str:
    """How many of the pinned keys signed and how many are needed, for a refusal."""
    pinned = len(trust.public_keys)
    signed_by = f"{len(signers)} of the {pinned} pinned keys" if pinned else "no pinned key"
    return f"is signed by {signed_by}, {trust.threshold} are needed"


def payload_of(envelope: bytes, payload_type: str) -> bytes:
    """What an envelope holds; its signatures are not checked. Raises `SignatureError`."""
    return _decode(envelope, payload_type).payload


def signed(envelope: bytes, payload_type: str, private_key: bytes) -> bytes:
    """The envelope with one more signature, by a private key in PEM. Raises `SignatureError`."""
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # not in __all__

    opened = _decode(envelope, payload_type)
    opened.sign(CryptoSigner(_private(private_key)))
    return _encode(opened)


def signers_of(envelope: bytes, payload_type: str, trust: Trust) -> tuple[str, ...]:
    """The public keys of `trust` that signed the envelope. Raises `SignatureError`."""
    from securesystemslib.exceptions import VerificationError

    opened = _decode(envelope, payload_type)
    found = []
    for text in trust.public_keys:
        try:
            opened.verify([_public(text)], 1)
        except VerificationError:
            continue
        found.append(text)
    return tuple(found)


def public_key_text(private_key: bytes) -> str:
    """The public half of a private key in PEM, as the configuration pins it. Raises `SignatureError`."""
    from cryptography.hazmat.primitives import serialization

    raw = (
        _private(private_key)
        .public_key()
        .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    )
    return raw.hex()


def write_new_key(path: Path) -> str:
    """Make a key pair: the private key as PEM in `path`, the public one in `path`.pub. Returns the latter.

    Only the owner may read the private key. It is not encrypted: keep it off the aircraft. Durable when this
    returns. Raises `FileExistsError` for a name that is taken, and `OSError`.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private_key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = public_key_text(private_key)
    with (
        new_file(path, _SECRET_MODE, ignore_umask=True) as file,
        new_file(path.with_name(f"{path.name}.pub"), _PUBLIC_MODE) as public,
    ):
        file.write(private_key)
        public.write(f"{text}\n".encode("ascii"))
        for each in (file, public):
            each.flush()  # a full disk shows here, where both files go
    sync_folder(path.parent)
    return text


def read_private_key(path: Path) -> bytes:
    """The private key in a file that an operator names.

    Raises `SignatureError`, also for a file of this user's that others may read, as OpenSSH does.
    """
    try:
        descriptor = open_regular(path, follow=True)
        status = os.fstat(descriptor)
        content = read_at_most(descriptor, _MOST_KEY_BYTES, path)
    except OSError as error:
        raise SignatureError(f"it can't be read: {error.strerror}") from error
    _private(content)
    if status.st_mode & _RIGHTS_OF_OTHERS and os.geteuid() in (0, status.st_uid):
        raise SignatureError(
            f"other users have rights to it (mode {stat.S_IMODE(status.st_mode):04o})",
            remedy=f"chmod 600 {path}; on a file system without modes copy it with install -m 600",
        )
    return content


def _encode(envelope: Envelope) -> bytes:
    facts = envelope.to_dict()
    facts["signatures"].sort(key=lambda signature: signature["keyid"])
    return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def _decode(content: bytes, payload_type: str) -> Envelope:
    from securesystemslib.dsse import Envelope

    try:
        if content.count(b",") > _MOST_COMMAS:  # to parse millions of values takes gigabytes
            raise ValueError("it has more values than an envelope")
        envelope = Envelope.from_dict(parse_json(content.decode("utf-8")))
    except Exception as error:
        raise SignatureError(f"it is no signed envelope ({type(error).__name__}: {error})") from error
    if envelope.payload_type != payload_type:
        raise SignatureError(f"it holds {envelope.payload_type!r:.80}, not {payload_type}")
    return envelope


def _private(content: bytes) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError("it is no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError("it is no Ed25519 key")
    return key


def _public(text: str) -> SSlibKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined] # not in __all__

    try:
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
    except ValueError as error:
        raise SignatureError(f"{text!r} is no Ed25519 public key of 64 hexadecimal digits") from error
