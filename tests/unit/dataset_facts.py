"""The facts of a dataset, for tests to change."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from aerotile.domain.values.datasets import DigestOf

FACTS: dict[str, Any] = {
    "name": "ortho-2025",
    "licence": "CC-BY-4.0",
    "attribution": "© Survey Office",
    "may_be_stored_offline": True,
    "source": "ortho.tif",
    "source_sha256": "ab" * 32,
    "digest_of": DigestOf.FILE,
    "captured_at": datetime(2025, 5, 1, tzinfo=timezone.utc),
    "captured_from": "by hand",
}
