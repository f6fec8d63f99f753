"""A list of the keys that sign bases, as JSON. No time in it, no host: the same list gives the same bytes."""

from __future__ import annotations

import json
from typing import Any

import attrs

from ...domain.values.recall_list import MOST_NUMBER
from ...domain.values.validators import is_sha256
from ..signatures import Trust
from ..strict_json import parse_json

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.aerotile.base-keys+json"
MOST_KEYS = 100
MOST_BYTES = 1 << 20
"""Of a list with its signatures."""


@attrs.frozen(kw_only=True)
class KeyList:
    """Whose signatures on a base count. Raises `ValueError` for impossible numbers and keys."""

    number: int
    """Above those of all lists before."""
    public_keys: tuple[str, ...]
    """Ed25519, 64 lower hexadecimal digits each."""
    threshold: int
    """How many of them must have signed a base, and the next list."""

    def __attrs_post_init__(self) -> None:
        for key in self.public_keys:
            if not is_sha256(key):  # a public key has as many digits as a SHA-256
                raise ValueError(f"a public key must be of 64 lower hexadecimal digits, got {key!r}")
        if len(set(self.public_keys)) != len(self.public_keys):
            raise ValueError("the list must not have a key twice")
        for name, high, value in (
            ("number", MOST_NUMBER, self.number),
            ("the number of keys", MOST_KEYS, len(self.public_keys)),
            ("threshold", len(self.public_keys), self.threshold),
        ):
            if type(value) is not int or not 1 <= value <= high:
                raise ValueError(f"{name} must be a whole number within 1..{high}, got {value!r}")

    @property
    def trust(self) -> Trust:
        """Its keys and its threshold."""
        return Trust(self.public_keys, self.threshold)

    def gives(self, trust: Trust) -> bool:
        """Whether these are its keys, in any order, and this its threshold."""
        return (set(self.public_keys), self.threshold) == (set(trust.public_keys), trust.threshold)

    def encode(self) -> bytes:
        """The list as JSON."""
        facts = {"format": FORMAT} | attrs.asdict(self)
        return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def decode_key_list(content: bytes) -> KeyList:
    """The list in JSON. Raises `ValueError`."""
    try:
        facts: dict[str, Any] = parse_json(content.decode("utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, this program reads {FORMAT}")
        if set(facts) != {"format", "number", "public_keys", "threshold"}:
            raise ValueError(f"it has the members {', '.join(sorted(map(str, facts)))}")
        if not isinstance(facts["public_keys"], list):
            raise ValueError(f"public_keys must be a list, got {facts['public_keys']!r}")
        return KeyList(
            number=facts["number"], public_keys=tuple(facts["public_keys"]), threshold=facts["threshold"]
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no list of keys of ours ({error!r})") from error
