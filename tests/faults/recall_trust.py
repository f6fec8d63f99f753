"""Recall lists, and lists of keys, that tests sign with a key of their own."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aerotile.adapters.recall_lists.list_format import PAYLOAD_TYPE, encode_list
from aerotile.adapters.sealed_base import key_list
from aerotile.adapters.signatures import Trust, new_envelope, public_key_text, signed
from aerotile.domain.values.recall_list import RecallList


def _key(seed: int) -> bytes:
    """Of tests alone, so that each process makes the same lists."""
    return Ed25519PrivateKey.from_private_bytes(bytes(range(seed, seed + 32))).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEY, OTHER_KEY = _key(0), _key(1)
TRUST = Trust((public_key_text(KEY),), 1)


def recalling(number: int) -> RecallList:
    """A list of one digest."""
    return RecallList(number=number, reason=f"list {number}", digests=[f"{number:064x}"])


def signed_list(number: int) -> bytes:
    """Its envelope, signed."""
    return signed(new_envelope(encode_list(recalling(number)), PAYLOAD_TYPE), PAYLOAD_TYPE, KEY)


def signed_key_list(number: int) -> bytes:
    """The envelope of a list of the same keys, signed."""
    keys = key_list.KeyList(number=number, public_keys=TRUST.public_keys, threshold=1)
    return signed(new_envelope(keys.encode(), key_list.PAYLOAD_TYPE), key_list.PAYLOAD_TYPE, KEY)
