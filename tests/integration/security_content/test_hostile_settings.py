"""Hostile settings: refused in one line that steers no terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_content import STEERING, TOKEN, Answer


@pytest.mark.parametrize(
    "settings",
    [
        {"ROOT": "/dev/zero"},
        {"ROOT": "/dev/null/store"},
        {"ROOT": "/proc/self/mem"},
        {"ROOT": "/proc/store"},
        {"ROOT": "x" * 5000},
        {"CONFIG": "/dev/zero"},
        {"CONFIG": "/proc/self/mem"},
        {"CONFIG": "."},
        {"BUDGET_MAX_BYTES": "9" * 5000},
        {"BUDGET_MAX_BYTES": "-1"},
        {"TILES_TILE_SIZE_PIXELS": str(10**30)},
        {"RECORD_QUEUE_SIZE": str(10**18)},
        {"READS_DEADLINE_S": "inf"},
        {"READS_DEADLINE_S": "nan"},
        {"DATABASE_CONNECT_TIMEOUT_S": "1e999"},
        {"UPLOAD_URL": "file:///etc/shadow", "UPLOAD_TOKEN": TOKEN},
        {"UPLOAD_URL": "https://a@b/", "UPLOAD_TOKEN": TOKEN},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN": "t\r\nX-Evil: 1"},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN_FILE": "/dev/zero"},
        {"UPLOAD_URL": "https://example.invalid/", "UPLOAD_TOKEN_FILE": "/etc"},
        {"UPLOAD_URL": "https://127.0.0.1:1/", "UPLOAD_TOKEN": TOKEN, "UPLOAD_CA_FILE": "/dev/null"},
        {"UPLOAD_URL": "https://127.0.0.1:1/", "UPLOAD_TOKEN": TOKEN, "UPLOAD_CA_FILE": "/etc"},
        {"DATABASE_DSN": "", "DATABASE_EMBEDDED_BINARIES": "/etc"},
        {"DATABASE_DSN": "", "DATABASE_EMBEDDED_BINARIES": "../../../../../../bin"},
        {"EVIL": STEERING},
        {"ROOT": STEERING},
    ],
    ids=str,
)
def test_hostile_settings_are_refused_in_one_line(
    call: Callable[..., Answer], settings: dict[str, str]
) -> None:
    environment = {f"AEROTILE_{name}": text for name, text in settings.items()}
    command = ("uploads", "votes") if "UPLOAD_URL" in settings else ("sectors", "load", "sectors.geojson")
    Path("sectors.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    answer = call(*command, "--json", **environment)
    assert answer.is_orderly, answer
    assert answer.code != 0
    assert answer.err.count("\n") == 1
