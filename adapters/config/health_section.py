"""`[health]`: where and how often a process says how it is."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...domain.values.validators import plain_numbers
from .fields import about, instance, seconds


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class HealthConfig:
    """`[health]`: what `build_health_monitor` writes for a supervisor."""

    file: Path | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(instance(Path)),
        metadata=about(
            "File that says how the flight stack's process is, best in `/run`. Not set: `<root>/health.json`."
        ),
    )
    period_s: float = attrs.field(
        default=1.0,
        validator=seconds(0.05, 60),
        metadata=about("How often it is written, and systemd is told.", "s"),
    )
