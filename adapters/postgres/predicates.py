"""The rules of `domain.values.tile_rules` over a row of `tiles`, in SQL: each rule once, for every statement.

No predicate is ever NULL. tests/contract/test_tile_rules.py compares each with its Python twin.
"""

from __future__ import annotations

from ...domain.values.tile_rules import UPLOAD_ENDED

HAS_CONTENT = "(content_sha256 IS NOT NULL AND disk_bytes IS NOT NULL)"
"""The hash and the size of the tile's file are known: false only for rows of revision 0001."""

_UPLOAD_ENDED = ", ".join(f"'{vote.value}'" for vote in sorted(UPLOAD_ENDED))
_IS_UNSENT = f"""(
    source = 'onboard' AND uploaded_at IS NULL AND COALESCE(voting_status, '') NOT IN ({_UPLOAD_ENDED})
)"""

IS_PENDING_UPLOAD = f"({HAS_CONTENT} AND {_IS_UNSENT})"
"""See `tile_rules.is_pending_upload`."""

MAY_BE_EVICTED = f"({HAS_CONTENT} AND NOT pinned AND NOT {_IS_UNSENT})"
"""See `tile_rules.may_be_evicted`."""
