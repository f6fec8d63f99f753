"""P-17: opening a signed base, up to the first answer within a prior and its pixels.

Each sample is a process of its own, its imports not counted. The tiles of the base are those of P-13, its
descriptors those of P-8.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from harness.dataset import tile_id
from harness.linked_store import linked_config
from harness.operations import Facts, Samples, Seconds
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.settings import BaseConfig
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.signatures import write_new_key

from .built_indexes import searched_index
from .descriptor_sets import NEIGHBOURS

_PROBE = Path(__file__).resolve().parent.parent / "probes" / "open_base.py"
_COLUMNS = 1_000
_SIDE = 32
"""Tiles of the prior along each side: about 1,000."""


@attrs.frozen
class OpenedBase:
    """A signed base in use, and the file of what the probe needs."""

    facts: Path

    def run(self, way: str) -> dict[str, Any]:
        """Open it once."""
        command = [sys.executable, str(_PROBE), way, str(self.facts)]
        printed = subprocess.run(command, capture_output=True, text=True, check=False)
        if printed.returncode != 0:
            raise RuntimeError(f"{way} could not be opened:\n{printed.stderr}")
        found: dict[str, Any] = json.loads(printed.stdout)
        return found


def _sealed(workshop: Workshop, size: int) -> OpenedBase:
    path = workshop.path(f"open-base-{size}.json")
    if path.exists():
        return OpenedBase(path)
    linked, built = linked_config(workshop, size), workshop.shared(searched_index)
    index_folder = linked.root / "index"
    if not index_folder.exists():
        index_folder.symlink_to(built.root, target_is_directory=True)
    key = workshop.path(f"release-{size}.key")
    config = attrs.evolve(linked, base=BaseConfig(public_keys=(write_new_key(key),)))
    with Runtime(config) as runtime:
        name = runtime.seal_base(SealPlan(), with_index=True).name
        generations = runtime.base_generations
        generations.sign(name, key.read_bytes())
        runtime.switch_base(name)
        folder = generations.folder(name)
    rows = min(size, len(built.wanted.descriptors)) // _COLUMNS
    height = min(_SIDE, max(1, rows))
    corner, opposite = tile_id(0).centre, tile_id((height - 1) * _COLUMNS + _SIDE - 1).centre
    facts = {
        "root": str(config.root),
        "dsn": config.database.dsn.reveal() if config.database.dsn is not None else None,
        "public_key": config.base.public_keys[0],
        "folder": str(folder),
        "bbox": [opposite[0], corner[1], corner[0], opposite[1]],
        "query": built.wanted.descriptors[3].tolist(),
        "k": NEIGHBOURS,
        "places": [[(t := tile_id(n)).zoom_level, t.x, t.y] for n in range(NEIGHBOURS)],
    }
    path.write_text(json.dumps(facts), "ascii")
    return OpenedBase(path)


def _opening(way: str) -> Callable[[Workshop], AbstractContextManager[Samples]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Samples]:
        yield _samples(_sealed(workshop, workshop.sizes.catalogue_tiles), way)

    return opened


def _samples(base: OpenedBase, way: str) -> Samples:
    seen: list[dict[str, Any]] = []

    def sample(rounds: int) -> Seconds:
        runs = [base.run(way) for _ in range(rounds)]
        seen.extend(runs)
        return np.array([run["seconds"] for run in runs])

    def facts() -> Facts:
        mapping = np.median([base.run("mapping")["seconds"] for _ in range(5)])
        ours = np.median([run["seconds"] for run in seen])
        anonymous = np.median([run["anonymous_bytes"] for run in seen])
        return {"beyond_mapping_ms": float(ours - mapping) * 1e3, "anonymous_mb": float(anonymous) / 1e6}

    return Samples(sample=sample, facts=facts) if way == "base" else Samples(sample=sample)


OPEN = MeasuredPath(
    id="P-17",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_opening("base"),
            note="a new process each time, its imports not counted; signature, manifest and digests checked",
        ),
        Subject(
            name="mmap of its files",
            role=Role.FLOOR,
            open=_opening("mapping"),
            note="in Python; as many pages touched as the answer has",
        ),
        Subject(
            name="file store (P-13 and P-8)",
            role=Role.PEER,
            open=_opening("store"),
            note="ours without a base: rows, files and index of the same tiles, index hashed",
        ),
        Subject(
            name="pmtiles Reader",
            role=Role.REFERENCE,
            open=_opening("pmtiles"),
            needs=("pmtiles",),
            note="ten tiles; nothing verified, judged or searched",
        ),
    ),
    full=Effort(blocks=5, rounds=1),
    quick=Effort(blocks=3, rounds=1),
)


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Samples]:
    yield _samples(_sealed(workshop, size), "base")


GROWTH = GrowthCurve(
    id="P-17",
    of="tiles",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_grown,
    rounds=10,
    quick_rounds=3,
)
