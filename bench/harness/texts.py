"""Times and ratios as people read them."""

from __future__ import annotations

import math

from .operations import Facts


def time_text(seconds: float | None) -> str:
    """A time with three digits and a unit that fits."""
    if seconds is None:
        return "-"
    for factor, unit in ((1e6, "us"), (1e3, "ms"), (1.0, "s")):
        value = seconds * factor
        if value < 1000 or unit == "s":
            digits = 0 if value <= 0 else max(0, 2 - math.floor(math.log10(value)))
            return f"{value:.{digits}f} {unit}"
    raise AssertionError("seconds always fit")


def ratio_text(ratio: float | None) -> str:
    """A ratio with as many digits as it deserves."""
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def facts_text(facts: Facts) -> str:
    """Figures beside times, to be put behind them."""
    return "".join(f", {name} {value:.4g}" for name, value in facts.items())
