"""What a commit of any process did to a row."""

from __future__ import annotations

from enum import Enum

import attrs

from .tiles import TileId


class ChangeKind(str, Enum):
    """What a commit did to a row."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@attrs.frozen
class TileChange:
    """One row that a commit changed, by whichever process."""

    kind: ChangeKind
    tile_id: TileId
