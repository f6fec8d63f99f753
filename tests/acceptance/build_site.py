"""An archive, a network and a plan of a build."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from archives import Place
from PIL import Image
from small_networks import SmallNetwork

SIZE = 16
NETWORK = SmallNetwork.drawn(5)
ROOT = Path("aerotile-data")


def noise(number: int) -> bytes:
    """A tile of cells of 4 x 4 pixels."""
    rough = np.random.default_rng(number).integers(0, 256, (SIZE // 4, SIZE // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rough.repeat(4, axis=0).repeat(4, axis=1)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


TILES: dict[Place, bytes] = {
    (zoom, x, y): noise(1000 * zoom + 50 * x + y)
    for zoom, side in ((11, 10), (12, 20))
    for x in range(1085 * 2 ** (zoom - 11), 1085 * 2 ** (zoom - 11) + side)
    for y in range(710 * 2 ** (zoom - 11), 710 * 2 ** (zoom - 11) + side)
}


def write_plan(folder: Path, text: str = '[describe]\nmodel = "network.onnx"\n', **more: Any) -> None:
    """The plan of a build of the archive; `more` of its settings, and `text` behind them."""
    facts = {"sources": ["ortho.mbtiles"], "captured_at": "2026-05-01", "work": "work"} | more
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    (folder / "plan.toml").write_text("\n".join([*lines, text]), encoding="utf-8")


def manifest_of(generation: str) -> bytes:
    """The signed manifest of a generation."""
    return (ROOT / "base/generations" / generation / "manifest.json").read_bytes()
