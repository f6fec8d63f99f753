"""`[base]`: the sealed base that a flight takes along."""

from __future__ import annotations

from enum import Enum

import attrs

from ...domain.values.validators import plain_numbers
from .fields import about, check_threshold, instance, public_keys, whole


class BaseVerify(str, Enum):
    """When a tile of the base is hashed."""

    READ = "read"
    """At its first read."""
    SCRUB = "scrub"
    """By `aerotile base verify` alone."""


class BaseMemory(str, Enum):
    """What of the base's tiles and facts is in memory."""

    TOUCHED = "touched"
    """What was read, as long as the kernel has room for it."""
    POPULATED = "populated"
    """All of it when the base is opened; the kernel may drop pages when it needs their room."""
    LOCKED = "locked"
    """All of it, as long as the base is open."""


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
        validator=public_keys,
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
        metadata=about("Refuse a base that is not signed so. `false`: say it in `status` and in the log."),
    )
    verify: BaseVerify = attrs.field(
        default=BaseVerify.READ,
        validator=instance(BaseVerify),
        metadata=about("`read`: hash each tile at its first read. `scrub`: by `aerotile base verify` alone."),
    )
    memory: BaseMemory = attrs.field(
        default=BaseMemory.TOUCHED,
        validator=instance(BaseMemory),
        metadata=about(
            "`touched`: pages come at their first read. `populated`: all when the base is opened. `locked`: "
            "all, and they stay, for which a limit of locked memory (`ulimit -l`) must leave room."
        ),
    )

    def __attrs_post_init__(self) -> None:
        check_threshold(self.public_keys, self.threshold)
