"""Which bands of a raster are shown, and as which colours."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

_COLOURS = ("red", "green", "blue")


class UnknownColoursError(Exception):
    """Nothing says which bands are red, green and blue."""


@attrs.frozen
class BandPlan:
    """The bands that become a tile, numbered from 1."""

    bands: tuple[int, ...]
    """One for a grey or a paletted raster; red, green and blue otherwise."""
    alpha: int | None = None
    """The band that says where the raster is opaque."""
    is_palette: bool = False
    note: str = ""
    """What was assumed or is unusual, for the report."""


def plan_bands(interpretations: Sequence[str], descriptions: Sequence[str | None]) -> BandPlan:
    """The plan for bands of these colour interpretations and descriptions.

    Colour interpretations come first, then descriptions ("Red"). Three or four bands without either count as
    red, green, blue (and one more), which the note says. Raises `UnknownColoursError` for anything else.
    """
    alpha = interpretations.index("alpha") + 1 if "alpha" in interpretations else None
    named = [(text or "").strip().lower() for text in descriptions]
    for names in (list(interpretations), named):
        if all(colour in names for colour in _COLOURS):
            bands = tuple(names.index(colour) + 1 for colour in _COLOURS)
            note = "" if bands == (1, 2, 3) else f"bands {_listed(bands)} as red, green, blue"
            return BandPlan(bands, alpha, note=note)
    if interpretations[0] == "palette":
        return BandPlan((1,), alpha, is_palette=True, note="palette")
    others = [number for number in range(1, len(interpretations) + 1) if number != alpha]
    if len(others) == 1:
        return BandPlan((others[0],), alpha, note="grey")
    if len(others) in (3, 4):
        bands = tuple(others[:3])
        return BandPlan(bands, alpha, note=f"bands {_listed(bands)} taken for red, green, blue")
    raise UnknownColoursError


def _listed(bands: Sequence[int]) -> str:
    return ",".join(map(str, bands))
