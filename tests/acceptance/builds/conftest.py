"""A folder that a base can be built in."""

from __future__ import annotations

from pathlib import Path

import pytest
from archives import write_mbtiles
from build_site import NETWORK, SIZE, TILES, write_plan
from cli_calls import Call
from small_networks import STEPS


@pytest.fixture
def site(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command beside an archive, a network and a plan; no database is configured."""
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    monkeypatch.setenv("AEROTILE_TILES_TILE_SIZE_PIXELS", str(SIZE))
    write_mbtiles(tmp_path / "ortho.mbtiles", TILES)
    NETWORK.save(tmp_path / "network.onnx", {**STEPS, "headings": [0, 90]})
    write_plan(tmp_path)
    return call
