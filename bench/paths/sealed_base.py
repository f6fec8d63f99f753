"""P-16: reading any tile of a sealed base whose pages are mapped, every page touched.

The base is sealed from the store that P-1 reads, so that all subjects read the same tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from harness.dataset import tile_id
from harness.floors import running
from harness.operations import Samples
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import BaseConfig, VariantTable, build_sealed_base, encode_tile_key
from aerotile.adapters.sealed_base.seal_plan import SealPlan

from .read_peers import LMDB_BYTES, LMDB_ZERO_COPY, OTHERS, Reader, ReadingPeer
from .read_store import filling_page_cache, kept_numbers, reading_store
from .reads import touching, touching_alone

_STORED_IN = "store-reads/base"
_OF_A_PEER = Effort(blocks=8, rounds=300)
"""Fewer blocks than ours and the floor's, whose ratio moves from block to block; no peer is near."""


@contextmanager
def _sealed(workshop: Workshop) -> Iterator[Path]:
    """The folder of a generation with every tile of the store."""
    runtime = workshop.shared(reading_store).runtime
    name = runtime.seal_base(SealPlan()).name
    generations = runtime.base_generations
    generations.switch_to(name, runtime.base_trust, require_signature=False)
    yield generations.folder(name)


@contextmanager
def _read_sealed(workshop: Workshop) -> Iterator[Reader]:
    workshop.shared(_sealed)
    config = workshop.shared(reading_store).config
    yield build_sealed_base(attrs.evolve(config, base=BaseConfig(require_signature=False))).read_tile_pixels


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Samples]:
    folder = workshop.shared(_sealed)
    keys = workshop.path("sealed.keys")
    numbers = kept_numbers(workshop, "sealed_touch")
    keys.write_text("".join(f"{encode_tile_key(tile_id(n), VariantTable())}\n" for n in numbers), "ascii")
    program = workshop.floors.program("sealed_touch")
    with running(program, folder / "facts", folder / "tiles.pmtiles", keys) as floor:
        yield floor


def _peer(peer: ReadingPeer) -> Subject:
    return Subject(
        name=peer.name,
        role=Role.PEER,
        open=touching(peer),
        needs=peer.needs,
        note=peer.note,
        before_block=filling_page_cache(peer.stored_in),
        at_most=_OF_A_PEER,
    )


READ = MeasuredPath(
    id="P-16",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=touching(ReadingPeer(name="Aerotile", open=_read_sealed)),
            before_block=filling_page_cache(_STORED_IN),
        ),
        Subject(
            name="C look-up and touch",
            role=Role.FLOOR,
            open=_floor,
            note="sorted keys in memory; no hash, no handle",
            before_block=filling_page_cache(_STORED_IN),
        ),
        Subject(
            name="touch alone",
            role=Role.REFERENCE,
            open=touching_alone(_read_sealed),
            note="no look-up: what it costs to call the touch from Python and to take the time there",
            before_block=filling_page_cache(_STORED_IN),
        ),
        *(_peer(peer) for peer in (LMDB_ZERO_COPY, LMDB_BYTES, *OTHERS)),
    ),
    full=Effort(blocks=20, rounds=300),
    quick=Effort(blocks=5, rounds=200),
)
