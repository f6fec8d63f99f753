"""Signatures of a manifest: a DSSE envelope with Ed25519 signatures, a threshold of pinned keys.

The envelope, the keys and the check are securesystemslib's; nothing here computes a signature.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined] # not in __all__

from ..files.atomic_file import new_file
from ..files.durable_folder import sync_folder
from ..files.regular_file import read_regular

PAYLOAD_TYPE = "application/vnd.aerotile.base+json"
_MOST_KEY_BYTES = 4_096
_SECRET_MODE, _PUBLIC_MODE = 0o400, 0o444


class SignatureError(ValueError):
    """An envelope, a key or a signature can't be used."""


@attrs.frozen
class Trust:
    """Whose signatures count, and how many of them are needed."""

    public_keys: tuple[str, ...]
    """Ed25519, 64 lower hexadecimal digits each."""
    threshold: int


def new_envelope(payload: bytes) -> bytes:
    """An envelope without a signature."""
    return _encode(Envelope(payload, PAYLOAD_TYPE, {}))


def payload_of(envelope: bytes) -> bytes:
    """What an envelope holds, whoever signed it. Raises `SignatureError`."""
    return _decode(envelope).payload


def signed(envelope: bytes, private_key: bytes) -> bytes:
    """The envelope with one more signature, by a private key in PEM. Raises `SignatureError`."""
    opened = _decode(envelope)
    opened.sign(CryptoSigner(_private(private_key)))
    return _encode(opened)


def signers_of(envelope: bytes, trust: Trust) -> tuple[str, ...]:
    """The public keys of `trust` that signed the envelope. Raises `SignatureError`."""
    opened = _decode(envelope)
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
    private_key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = public_key_text(private_key)
    with new_file(path, _SECRET_MODE, ignore_umask=True) as file:
        file.write(private_key)
    with new_file(path.with_name(f"{path.name}.pub"), _PUBLIC_MODE) as file:
        file.write(f"{text}\n".encode("ascii"))
    sync_folder(path.parent)
    return text


def read_private_key(path: Path) -> bytes:
    """The private key in a file that an operator names. Raises `OSError`."""
    return read_regular(path, _MOST_KEY_BYTES, follow=True)


def _encode(envelope: Envelope) -> bytes:
    facts = envelope.to_dict()
    facts["signatures"].sort(key=lambda signature: signature["keyid"])
    return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def _decode(content: bytes) -> Envelope:
    try:
        envelope = Envelope.from_dict(json.loads(content))
    except Exception as error:
        raise SignatureError(f"it is no signed envelope ({type(error).__name__}: {error})") from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise SignatureError(f"it holds {envelope.payload_type!r}, not {PAYLOAD_TYPE}")
    return envelope


def _private(content: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise SignatureError("it is no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError("it is no Ed25519 key")
    return key


def _public(text: str) -> SSlibKey:
    try:
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
    except ValueError as error:
        raise SignatureError(f"{text!r} is no Ed25519 public key of 64 hexadecimal digits") from error
