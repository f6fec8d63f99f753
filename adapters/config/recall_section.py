"""`[recall]`: whose signatures make a recall list count."""

from __future__ import annotations

import attrs

from ...domain.values.validators import plain_numbers
from .fields import about, check_threshold, public_keys, whole


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class RecallConfig:
    """`[recall]`: whose signatures make a recall list count; any other list is refused."""

    public_keys: tuple[str, ...] = attrs.field(
        default=(),
        validator=public_keys,
        metadata=about("Ed25519 keys whose signatures on a recall list count; none is one of the base's."),
    )
    threshold: int = attrs.field(
        default=1,
        validator=whole(1, 100),
        metadata=about("How many of these keys must have signed a recall list."),
    )

    def __attrs_post_init__(self) -> None:
        check_threshold(self.public_keys, self.threshold)
