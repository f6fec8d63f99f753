"""`[recall]`: whose signatures make a recall list count."""

from __future__ import annotations

import attrs

from ...domain.values.validators import plain_numbers
from .fields import check_threshold, public_keys, setting, whole


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class RecallConfig:
    """`[recall]`: whose signatures make a recall list count; any other list is refused."""

    public_keys: tuple[str, ...] = setting(
        (),
        "Ed25519 keys whose signatures on a recall list count; none is one of the base's.",
        check=public_keys,
    )
    threshold: int = setting(1, "How many of these keys must have signed a recall list.", check=whole(1, 100))

    def __attrs_post_init__(self) -> None:
        check_threshold(self.public_keys, self.threshold)
