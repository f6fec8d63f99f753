"""docs/record.md against the catalogue of the flight record."""

from __future__ import annotations

import re
from pathlib import Path

from aerotile.domain.flight_events import EVENT_KINDS, SCHEMA_VERSION

PAGE = (Path(__file__).parents[2] / "docs" / "record.md").read_text("utf-8")


def test_the_table_of_kinds_is_the_catalogue() -> None:
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) \| `(c\d+\.[\w.]+)` \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    said = [
        (since, kind, severity, tuple(re.findall(r"`(\w+)`", fields)))
        for since, kind, severity, fields in rows
    ]
    assert said == [
        (facts.since, kind.value, facts.severity.value, facts.payload_fields)
        for kind, facts in EVENT_KINDS.items()
    ]


def test_the_schema_version_is_the_newest_kind_s() -> None:
    newest = max(
        (facts.since for facts in EVENT_KINDS.values()), key=lambda text: [*map(int, text.split("."))]
    )
    assert newest == SCHEMA_VERSION
    assert f"schema version is {SCHEMA_VERSION}" in PAGE
