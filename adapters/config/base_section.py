"""`[base]`: the sealed base that a flight takes along."""

from __future__ import annotations

from enum import Enum

import attrs

from ...domain.values.validators import plain_numbers
from .fields import check_threshold, public_keys, setting, whole


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

    layered: bool = setting(False, "Read the tiles of the sealed base in front of those of the store.")
    public_keys: tuple[str, ...] = setting(
        (), "Ed25519 keys whose signatures count, as `aerotile base keygen` prints them.", check=public_keys
    )
    threshold: int = setting(1, "How many of these keys must have signed a base.", check=whole(1, 100))
    require_signature: bool = setting(
        True, "Refuse a base that is not signed so. `false`: say it in `status` and in the log."
    )
    verify: BaseVerify = setting(
        BaseVerify.READ, "`read`: hash each tile at its first read. `scrub`: by `aerotile base verify` alone."
    )
    memory: BaseMemory = setting(
        BaseMemory.TOUCHED,
        "`touched`: pages come at their first read. `populated`: all when the base is opened. `locked`: "
        "all, and they stay, for which a limit of locked memory (`ulimit -l`) must leave room.",
    )

    def __attrs_post_init__(self) -> None:
        check_threshold(self.public_keys, self.threshold)
