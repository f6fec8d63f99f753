"""P-12 and P-13: what the factories cost, and opening a large store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import psycopg
from harness.dataset import Cycle
from harness.linked_store import linked_config
from harness.operations import Calls, Facts, Operation, Samples, Seconds
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import (
    AerotileConfig,
    build_descriptor_index,
    build_tile_metadata_store,
    build_tile_store,
    build_tile_uploader,
)
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import UploadConfig

_PROBE = Path(__file__).resolve().parent.parent / "probes" / "open_store.py"
_UPLOAD = UploadConfig(url="http://127.0.0.1:9", token=Secret("nobody-asks-for-it"))


def _factories(config: AerotileConfig) -> Operation:
    """The four factories in turn; the first call of each, which opens, is a fact of its own."""
    factories = (build_tile_store, build_tile_metadata_store, build_descriptor_index, build_tile_uploader)
    first: dict[str, float] = {}
    for factory in factories:
        started = perf_counter()
        factory(config)
        first[f"first_{factory.__name__.removeprefix('build_')}_ms"] = (perf_counter() - started) * 1e3
    calls = Cycle(factories)
    return Calls(call=lambda factory: factory(config), arguments=calls.arguments, facts=lambda: first)


@contextmanager
def _ours_factories(workshop: Workshop) -> Iterator[Operation]:
    yield _factories(workshop.config("factories", upload=_UPLOAD))


FACTORIES = MeasuredPath(
    id="P-12",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_ours_factories,
            note="store, metadata store, index and uploader in turn; the facts are each one's first call",
        ),
    ),
    full=Effort(blocks=5, rounds=200),
    quick=Effort(blocks=5, rounds=200),
)


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Operation]:
    operation = _factories(attrs.evolve(linked_config(workshop, size), upload=_UPLOAD))
    first = "first_tile_store_ms"
    yield attrs.evolve(operation, facts=lambda: {first: operation.facts()[first]})


FACTORIES_GROWTH = GrowthCurve(
    id="P-12",
    of="tiles",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_grown,
    rounds=1_000,
)


def _open_in_a_process(config: AerotileConfig) -> dict[str, Any]:
    dsn = config.database.dsn
    assert dsn is not None
    command = [sys.executable, str(_PROBE), str(config.root), dsn.reveal()]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    if printed.returncode != 0:
        raise RuntimeError(f"the store could not be opened:\n{printed.stderr}")
    facts: dict[str, Any] = json.loads(printed.stdout)
    return facts


@contextmanager
def _ours_open(workshop: Workshop) -> Iterator[Operation]:
    size = workshop.sizes.catalogue_tiles
    config = linked_config(workshop, size)
    seen: list[float] = []

    def sample(rounds: int) -> Seconds:
        runs = [_open_in_a_process(config) for _ in range(rounds)]
        seen.extend(run["anonymous_bytes"] for run in runs)
        return np.array([run["seconds"] for run in runs])

    def facts() -> Facts:
        # What an open store of no tile takes (pools, threads, modules) is not the catalogue's. Both vary by
        # some pages from process to process, and each page is 0.04 bytes a tile of 100,000.
        without_tiles = workshop.config("empty")
        empty = [_open_in_a_process(without_tiles)["anonymous_bytes"] for _ in seen]
        return {"bytes_per_tile": (median(seen) - median(empty)) / size}

    yield Samples(sample=sample, facts=facts)


_COPY_OUT = """
    COPY (
        SELECT zoom_level, x, y, source, flight_id, captured_at, accessed_at, disk_bytes, freshness_status,
            voting_status, pinned, uploaded_at, content_sha256
        FROM tiles
    ) TO STDOUT (FORMAT binary)
"""


@contextmanager
def _copy_out(workshop: Workshop) -> Iterator[Operation]:
    dsn = linked_config(workshop, workshop.sizes.catalogue_tiles).database.dsn
    assert dsn is not None

    with psycopg.connect(dsn.reveal(), autocommit=True) as connection:

        def copy_out() -> int:
            with connection.cursor() as cursor, cursor.copy(_COPY_OUT) as copy:
                return sum(len(block) for block in copy)

        yield Calls(call=copy_out)


OPEN = MeasuredPath(
    id="P-13",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_ours_open,
            note="a new process each time, its imports not counted; rows and files reconciled",
        ),
        Subject(
            name="COPY out of the rows",
            role=Role.FLOOR,
            open=_copy_out,
            note="the columns of the catalogue, binary, thrown away; no file is looked at",
        ),
    ),
    full=Effort(blocks=5, rounds=1),
    quick=Effort(blocks=2, rounds=1),
)
