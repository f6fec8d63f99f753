"""`[health]`: where and how often a process says how it is."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...domain.values.validators import plain_numbers
from .fields import seconds, setting


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class HealthConfig:
    """`[health]`: what `build_health_monitor` writes for a supervisor."""

    file: Path | None = setting(
        None,
        "File that says how the flight stack's process is, best in `/run`. Not set: `<root>/health.json`.",
        kind=Path,
    )
    period_s: float = setting(
        1.0, "How often it is written, and systemd is told.", unit="s", check=seconds(0.05, 60)
    )
