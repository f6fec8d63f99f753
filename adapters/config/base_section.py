"""`[base]`: the sealed base that a flight takes along."""

from __future__ import annotations

import re
from enum import Enum

import attrs

from ...domain.values.validators import plain_numbers
from .fields import about, instance, whole

_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")


class BaseVerify(str, Enum):
    """When a tile of the base is hashed."""

    READ = "read"
    """At its first read."""
    SCRUB = "scrub"
    """By `aerotile base verify` alone."""


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class BaseConfig:
    """`[base]`: whether a sealed base is read, and whose signatures count."""

    layered: bool = attrs.field(
        default=False,
        validator=instance(bool),
        metadata=about("Read the tiles of the sealed base in front of those of the store."),
    )
    public_keys: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about("Ed25519 keys whose signatures count, as `aerotile base keygen` prints them."),
    )
    threshold: int = attrs.field(
        default=1,
        validator=whole(1, 100),
        metadata=about("How many of these keys must have signed a base."),
    )
    require_signature: bool = attrs.field(
        default=True,
        validator=instance(bool),
        metadata=about("Refuse a base that is not signed so. False: say it in `status` and in the log."),
    )
    verify: BaseVerify = attrs.field(
        default=BaseVerify.READ,
        validator=instance(BaseVerify),
        metadata=about("`read`: hash each tile at its first read. `scrub`: by `aerotile base verify` alone."),
    )

    @public_keys.validator
    def _keys(self, _: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        if not isinstance(value, tuple):
            raise ValueError(f"public_keys must be a tuple, got {value!r}")
        for key in value:
            if not isinstance(key, str) or not _PUBLIC_KEY.fullmatch(key):
                raise ValueError(f"public_keys must be of 64 lower hexadecimal digits each, got {key!r}")
        if len(set(value)) != len(value):
            raise ValueError("public_keys must not list a key twice")

    def __attrs_post_init__(self) -> None:
        if self.public_keys and self.threshold > len(self.public_keys):
            raise ValueError(
                f"threshold must not exceed the number of public_keys ({len(self.public_keys)}), "
                f"got {self.threshold}"
            )
