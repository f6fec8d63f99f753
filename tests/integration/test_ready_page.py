"""docs/ready.md says what the code does: colours, counts, limits, names."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from aerotile.adapters.cli.readiness_lines import _LISTED_FAULTS, _LISTED_LEGS
from aerotile.adapters.cli.readiness_map import COLOURS
from aerotile.domain.readiness.flight_plan import ASSUMED_SPEED_M_S, MOST_TILES
from aerotile.domain.readiness.judge_tiles import TileFault
from aerotile.domain.readiness.report import ZoomReadiness
from aerotile.domain.values.routes import MOST_LEGS

PAGE = (Path(__file__).parents[2] / "docs" / "ready.md").read_text(encoding="utf-8")
RGB = {
    "red": (220, 0, 0),
    "purple": (140, 0, 90),
    "orange": (255, 176, 64),
    "blue": (60, 110, 220),
    "pale green": (150, 190, 160),
    "green": (0, 112, 60),
    "white": (255, 255, 255),
}


def word(fault: TileFault) -> str:
    return str(fault.name).lower().replace("_", " ")


def test_the_colours_are_those_of_the_picture() -> None:
    table = dict(re.findall(r"^\| ([a-z ]+) \| ([a-z ]+) \|$", PAGE, re.MULTILINE))
    expected = {word(fault): COLOURS[fault] for fault in TileFault}
    expected |= {"ready": COLOURS[TileFault(0)], "not needed": COLOURS[None]}
    assert {what: RGB[colour] for colour, what in table.items() if colour in RGB} == expected


def test_the_counts_and_faults_are_those_of_a_report() -> None:
    section = PAGE.partition("## What a tile must be")[2].partition("\n## ")[0]
    counts = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    fields = [field.name for field in attrs.fields(ZoomReadiness)]
    assert ["zoom_level", "wanted", *counts, "faults"] == fields
    assert set(re.findall(r"\| `(\w+)`.*\|$", section, re.MULTILINE)) >= set(counts)
    for fault in TileFault:
        assert f"`{word(fault)}`" in section


def test_the_limits_are_those_of_the_code() -> None:
    for said in (
        f"At most\n{MOST_TILES:,} tiles",
        f"more than {MOST_LEGS} points is told in {MOST_LEGS} legs",
        f"{ASSUMED_SPEED_M_S:g} m/s is assumed",
        f"(at most {_LISTED_LEGS})",
        f"(at most {_LISTED_FAULTS} lines)",
    ):
        assert said in PAGE
