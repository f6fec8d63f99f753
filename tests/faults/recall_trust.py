"""Recall lists that tests sign with a key of their own."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aerotile.adapters.recall_lists.list_format import PAYLOAD_TYPE, encode_list
from aerotile.adapters.signatures import Trust, new_envelope, public_key_text, signed
from aerotile.domain.values.recall_list import RecallList

# Of tests alone, so that each process makes the same lists.
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
TRUST = Trust((public_key_text(KEY),), 1)


def recalling(number: int) -> RecallList:
    """A list of one digest."""
    return RecallList(number=number, reason=f"list {number}", digests=[f"{number:064x}"])


def signed_list(number: int) -> bytes:
    """Its envelope, signed."""
    return signed(new_envelope(encode_list(recalling(number)), PAYLOAD_TYPE), PAYLOAD_TYPE, KEY)
