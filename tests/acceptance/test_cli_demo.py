"""`aerotile demo`, whole: from a raster to a go, a flight and an upload."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aerotile.adapters.cli.readiness_map import COLOURS
from aerotile.adapters.demo.demonstration import prepare_folder
from aerotile.domain.readiness.judge_tiles import TileFault


@pytest.mark.slow(reason="prepares two sealed bases and flies by the second: 20 s on an idle core")
@pytest.mark.timeout(600)  # three minutes beside ten busy processes a core
def test_the_demo_prepares_mends_flies_and_uploads(tmp_path: Path) -> None:
    # A store that the environment names is none of the demo's.
    environment = os.environ | {
        "AEROTILE_DATABASE_DSN": "host=/nowhere",
        "AEROTILE_ROOT": str(tmp_path / "x"),
    }
    command = (sys.executable, "-m", "aerotile.adapters.cli", "demo", "--frames", "20", "--json")
    done = subprocess.run(
        [*command, "--folder", "flown"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "x").exists()
    facts = json.loads(done.stdout)
    assert (facts["tiles_in_the_base"], facts["holes"]) == (953, 4)
    assert facts["top_5"] > 0.9
    assert facts["tiles_uploaded,_held_by_the_provider_with_our_hash"] > 0

    story = done.stderr
    first, _, second = story.partition("NO-GO")
    assert "4 missing: 6/43-44/23, 6/43-44/24" in first
    no_go = second.partition("\n4. ")[0]
    assert "error: no-go: 4 tiles missing" in no_go
    named = "aerotile provision SOURCE... --area ROUTE --corridor 300km --zoom 6 --missing-only"
    assert f"no: 4 tiles missing — {named}" in first
    mended = second.partition("$ aerotile provision ")[2].partition("\n")[0]
    assert all(
        part in mended for part in ("--area route.geojson --corridor 300km", "--zoom 6 --missing-only")
    )
    assert "\nGO\n" in second

    folder = tmp_path / "flown"
    missing = COLOURS[TileFault.MISSING]
    assert missing in colours(folder / "no-go.png")
    assert missing not in colours(folder / "go.png")
    # What the story shows can be typed in the folder.
    with_network = ("ready", "--route", "route.geojson", "--corridor", "300km", "--zoom", "6")
    typed = subprocess.run(
        [sys.executable, "-m", "aerotile.adapters.cli", *with_network, "--speed", "250m/s", "--base"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (typed.returncode, typed.stdout.splitlines()[-1]) == (0, "GO"), typed.stderr

    priors = facts["priors"]
    assert list(priors) == ["known", "drifting", "lost"]
    assert sum(one["land_frames"] for one in priors.values()) == facts["frames_over_land"]
    for name, one in priors.items():
        assert (one["within_prior"]["top_1"] is None) == (name == "lost")
        assert (one["within_prior"]["p50_microseconds"] is None) == (name == "lost")
        assert one["whole_index"]["p50_microseconds"] > 0
        # An exact search of less ground finds no less.
        assert name == "lost" or one["within_prior"]["top_5"] >= one["whole_index"]["top_5"]


def test_what_an_interrupted_run_had_described_is_removed(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    begun = tmp_path / "descriptors-1.npz.partial"
    begun.mkdir()
    (begun / "job.json").write_text("{}", encoding="utf-8")
    prepare_folder(tmp_path)
    assert not begun.exists()


def colours(path: Path) -> set[object]:
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
