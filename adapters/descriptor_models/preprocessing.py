"""How pictures become the input of a network: stated beside the network or in it, and part of its digest."""

from __future__ import annotations

import json
import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import DescriptorModelError, RuntimeNotAvailableError
from ...domain.values.pictures import Pictures, check_headings
from ...domain.values.validators import is_real, is_whole
from ..strict_json import parse_json

MAX_SIZE = 4096
_CHANNELS = ("rgb", "bgr")
_NEEDED = ("size", "mean", "deviation", "channels")
_KNOWN = (*_NEEDED, "name", "headings")


@attrs.frozen(kw_only=True)
class Preprocessing:
    """The steps from unsigned bytes to the network's input, in this order."""

    size: int
    """Width and height to which pictures are brought, in pixels."""
    channels: str
    """The order of the colours: `rgb` or `bgr`; `mean` and `deviation` are in this order."""
    mean: tuple[float, float, float]
    """Taken away from each colour, of which 1 is the brightest."""
    deviation: tuple[float, float, float]
    """Each colour is divided by it then."""
    name: str | None
    headings: tuple[int, ...]

    @classmethod
    def of_json(cls, text: str, where: str) -> Preprocessing:
        """Read the statement. Raises `DescriptorModelError` that names `where` it stands."""
        try:
            return cls._of(parse_json(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise DescriptorModelError(
                f"{where}: {error}",
                remedy='state {"size": 224, "mean": [...], "deviation": [...], "channels": "rgb"}',
            ) from error

    @classmethod
    def _of(cls, facts: Any) -> Preprocessing:
        if not isinstance(facts, dict):
            raise ValueError("the preprocessing is no JSON object")
        for key in facts:
            if key not in _KNOWN:
                raise ValueError(f"unknown key {key!r}; known are {', '.join(_KNOWN)}")
        for key in _NEEDED:
            if key not in facts:
                raise ValueError(f"{key} is missing")
        size, channels, name = facts["size"], facts["channels"], facts.get("name")
        if not is_whole(size) or not 1 <= size <= MAX_SIZE:
            raise ValueError(f"size must be a whole number within 1..{MAX_SIZE}, got {size!r}")
        if channels not in _CHANNELS:
            raise ValueError(f"channels must be one of {', '.join(_CHANNELS)}, got {channels!r}")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"name must be a text, got {name!r}")
        deviation = _three(facts["deviation"], "deviation")
        if min(deviation) <= 0:
            raise ValueError(f"deviation must be above 0, got {facts['deviation']!r}")
        headings = facts.get("headings", [0])
        if not isinstance(headings, list):
            raise ValueError(f"headings must be a list, got {headings!r}")
        return cls(
            size=size,
            channels=channels,
            mean=_three(facts["mean"], "mean"),
            deviation=deviation,
            name=name,
            headings=check_headings(headings),
        )

    @property
    def canonical(self) -> bytes:
        """What the numbers depend on, the same for the same steps. Name and headings change no number."""
        steps = (self.size, self.channels, self.mean, self.deviation)
        return json.dumps(steps, separators=(",", ":")).encode("ascii")

    def prepared(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        """The network's input, of shape (n, 3, size, size). Raises `ValueError` for pictures not square."""
        height, width = pictures.shape[1:3]
        if height != width:
            raise ValueError(
                f"pictures must be square, got {height} x {width}: squeezed ground looks like other ground"
            )
        if height != self.size:
            pictures = _resized(pictures, self.size)
        if self.channels == "bgr":
            pictures = pictures[..., ::-1]
        scaled = pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        scaled -= np.array(self.mean, np.float32)[:, None, None]
        scaled /= np.array(self.deviation, np.float32)[:, None, None]
        return np.ascontiguousarray(scaled)


def _three(values: Any, key: str) -> tuple[float, float, float]:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"{key} must be a list of three numbers, got {values!r}")
    for value in values:
        if not is_real(value) or not math.isfinite(value):
            raise ValueError(f"{key} must be a list of three numbers, got {values!r}")
    return float(values[0]), float(values[1]), float(values[2])


def _resized(pictures: Pictures, size: int) -> Pictures:
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeNotAvailableError(
            f"bringing pictures to {size} pixels needs pillow, which is not installed",
            remedy="pip install pillow",
        ) from error
    # Pillow widens the kernel where it reduces, which prevents aliases.
    return np.stack(
        [
            np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR))
            for each in pictures
        ]
    )
