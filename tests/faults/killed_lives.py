"""What the children of `nursery_process.py` do with their lives: open what there is, prepare, say `ready` and
do one thing, all of whose calls are counted from there.

What is said with `ready`: `sure`, what the preparation changed and the store confirmed ({tile: SHA-256, or
null for one that was deleted}); `will`, what the operation changes; `may_go`, tiles that it may evict. `done`
is said when the operation has been confirmed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import numpy as np
from recall_trust import KEY, OTHER_KEY, TRUST, signed_key_list, signed_list
from sealed_bases import CAPTURED_AT, NOBODY, source_of, square, writer_of

import aerotile.adapters.faiss.index
import aerotile.adapters.filesystem
import aerotile.adapters.http.uploader
import aerotile.adapters.postgres.connection
import aerotile.adapters.postgres.sector_store
import aerotile.adapters.postgres.tile_feed
import aerotile.adapters.postgres.tile_metadata
import aerotile.adapters.postgres.upload_ledger
import aerotile.adapters.recorder.writer
import aerotile.adapters.rtree.sector_index
import aerotile.ext  # noqa: F401 - see above
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, UploadConfig
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.recall_lists.lists import RecallLists
from aerotile.adapters.sealed_base.check import check_base
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.key_lists import KeyLists
from aerotile.adapters.sealed_base.mapped_base import open_current_base
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.errors import BaseUnavailableError, IndexUnavailableError
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus
from aerotile.domain.values.upload_reports import UploadRequest

Facts = dict[str, Any]
Say = Callable[[Facts], None]
Hear = Callable[[], "Facts | None"]

BATCH = 20
"""More than one thread takes at once."""
BUDGET_BYTES = 100_000
FLIGHT = UUID(int=7)
DIMENSION = 16
FOLDERS = 5


class Life:
    """One child, what it was ordered to do and how it talks."""

    def __init__(self, order: Facts, say: Say, hear: Hear) -> None:
        self.number: int = order["number"]
        self.chance = random.Random(self.number)
        self._order = order
        self._say = say
        self._hear = hear

    def opened(self, **facts: Any) -> None:
        """Say what was found, and wait until it has been looked at."""
        self._say(facts)
        if self._hear() is None:
            raise EOFError("the test has gone")

    def ready(self, **facts: Any) -> None:
        """Wait for the word to begin."""
        self._say({"ready": True, "sure": {}, "will": {}, "may_go": []} | facts)
        if self._hear() is None:
            raise EOFError("the test has gone")

    def done(self) -> None:
        self._say({"done": True})

    def config(self) -> AerotileConfig:
        order = self._order
        budget = BudgetConfig(max_bytes=BUDGET_BYTES, eviction_batch_size=2)
        return AerotileConfig(
            root=Path(order["root"]),
            database=DatabaseConfig(dsn=Secret(order["dsn"]) if "dsn" in order else None),
            budget=budget if order["operation"] == "eviction" else BudgetConfig(),
            upload=UploadConfig(url=order["url"], token=Secret("t0k3n"), max_batch_tiles=2)
            if "url" in order
            else UploadConfig(),
        )

    def tile(self, place: int, *, onboard: bool = False) -> tuple[bytes, TileMetadata]:
        """A tile that no other life makes; those of two lives lie in a new folder."""
        pixels = example_jpeg(self.chance.randbytes(2000))
        source = TileSource.ONBOARD if onboard else TileSource.IMPORTED
        return pixels, example_metadata(
            TileId(20, self.number // 2, self.number % 2 * 1000 + place, source, FLIGHT if onboard else None),
            pixels,
            captured_at=datetime.now(timezone.utc),
            ground_sample_distance=0.15,
            voting_status=VotingStatus.PENDING if onboard else None,
        )


def named(*tiles: tuple[bytes, TileMetadata]) -> dict[str, str]:
    return {str(metadata.tile_id): metadata.content_sha256 for _, metadata in tiles}


def do_nothing(life: Life, runtime: Runtime) -> None:
    life.ready()


def write(life: Life, runtime: Runtime) -> None:
    store, tile = runtime.tile_store, life.tile(0)
    life.ready(will=named(tile))
    store.write_tile(*tile)


def write_a_batch(life: Life, runtime: Runtime) -> None:
    store, tiles = runtime.tile_store, [life.tile(place) for place in range(BATCH)]
    life.ready(will=named(*tiles))
    for outcome in store.write_tiles(tiles):
        assert outcome.error is None


def delete(life: Life, runtime: Runtime) -> None:
    store, (pixels, metadata) = runtime.tile_store, life.tile(0)
    store.write_tile(pixels, metadata)
    life.ready(sure=named((pixels, metadata)), will={str(metadata.tile_id): None})
    store.delete_tile(metadata.tile_id)


def replace(life: Life, runtime: Runtime) -> None:
    store, (pixels, metadata), newer = runtime.tile_store, life.tile(0), life.tile(0)
    older = pixels, attrs.evolve(metadata, captured_at=metadata.captured_at - timedelta(days=1))
    store.write_tile(*older)
    life.ready(sure=named(older), will=named(newer))
    store.replace_tile(*newer)


def write_beyond_the_budget(life: Life, runtime: Runtime) -> None:
    store = runtime.tile_store
    total = runtime.tile_store.catalogue.footprint_bytes
    sure: list[tuple[bytes, TileMetadata]] = []
    while total() + 2 * footprint(len((tile := life.tile(1 + len(sure)))[0])) <= BUDGET_BYTES:
        store.write_tile(*tile)
        sure.append(tile)
    too_many = [life.tile(1 + len(sure) + place) for place in range(2)]
    everything = [str(entry.tile_id) for entry in runtime.rows.committed()]
    life.ready(sure=named(*sure), will=named(*too_many), may_go=everything)
    for outcome in store.write_tiles(too_many):
        assert outcome.error is None


def upload(life: Life, runtime: Runtime) -> None:
    tiles = [life.tile(place, onboard=True) for place in range(2)]
    for outcome in runtime.tile_store.write_tiles(tiles):
        assert outcome.error is None
    uploader = runtime.tile_uploader()
    life.ready(sure=named(*tiles))
    uploader.upload_pending_tiles(UploadRequest())


CHANGES: dict[str, Callable[[Life, Runtime], None]] = {
    "nothing": do_nothing,
    "write": write,
    "batch": write_a_batch,
    "delete": delete,
    "replace": replace,
    "eviction": write_beyond_the_budget,
    "upload": upload,
}


def change_a_store(life: Life, change: Callable[[Life, Runtime], None]) -> None:
    runtime = Runtime(life.config())
    counts = runtime.tile_store.opened
    life.opened(tiles=counts.tiles, files_missing=counts.files_missing, left_for_later=counts.left_for_later)
    change(life, runtime)
    life.done()


def open_a_store(life: Life) -> None:
    """Open it, change something, close it."""
    tile = life.tile(0)
    life.ready(will=named(tile))
    with Runtime(life.config()) as runtime:
        runtime.tile_store.write_tile(*tile)
    life.done()


def build(life: Life, runtime: Runtime, model: str) -> None:
    count = 20 + life.number % 7
    runtime.index_builder.rebuild(
        [TileId(20, x, life.number, TileSource.IMPORTED) for x in range(count)],
        np.random.default_rng(life.number).normal(size=(count, DIMENSION)).astype(np.float32),
        descriptor_model=model,
        built_at=datetime.now(timezone.utc),
    )


def change_an_index(life: Life, *, back: bool) -> None:
    """Rebuild, or roll back."""
    runtime = Runtime(life.config())
    index = runtime.descriptor_index
    try:
        found = index.search(np.zeros(DIMENSION, np.float32), 5)
        life.opened(model=index.metadata().descriptor_model, found=len(found))
    except IndexUnavailableError as error:
        life.opened(model=None, error=str(error))
    if back:
        build(life, runtime, f"older than {life.number}")
        build(life, runtime, f"newer than {life.number}")
        life.ready(before=f"newer than {life.number}", after=f"older than {life.number}")
        runtime.index_builder.rollback()
    else:
        life.ready(after=f"model {life.number}")
        build(life, runtime, f"model {life.number}")
    life.done()


def change_a_base(life: Life, root: Path, *, switching: bool, with_index: bool) -> None:
    """Seal a generation, or switch to it."""
    generations = BaseGenerations(root)
    try:
        opened = open_current_base(root, NOBODY, require_signature=False)
        life.opened(generation=opened.signed.manifest.name, findings=len(check_base(opened)))
    except BaseUnavailableError as error:
        life.opened(generation=None, error=str(error))
    tiles = square(3 + life.number % 3)
    source = source_of(tiles)
    if with_index:
        index = FaissDescriptorIndex(root.with_name(f"index {life.number}"), threads=1, warm_up=False)
        vectors = np.random.default_rng(life.number).normal(size=(len(tiles), DIMENSION)).astype(np.float32)
        index.rebuild(
            [row.tile_id for row, _ in tiles], vectors, descriptor_model="net", built_at=CAPTURED_AT
        )
        source = attrs.evolve(source, write_index=writer_of(index))
    if switching:
        name = generations.seal(source, SealPlan()).name
        life.ready(after=name)
        generations.switch_to(name, NOBODY, require_signature=False)
    else:
        names = generations.names()
        life.ready(after=f"{int(names[-1]) + 1 if names else 1:06d}")
        generations.seal(source, SealPlan())
    life.done()


def apply_a_recall_list(life: Life, root: Path) -> None:
    """Put a newer list in force."""
    lists = RecallLists(root, TRUST)
    found = lists.read()
    life.opened(number=None if found is None else found.recalls.number)
    envelope = signed_list(life.number)
    life.ready(after=life.number)
    lists.apply(envelope, "the list")
    life.done()


def sign_a_base(life: Life, root: Path) -> None:
    """Add a second signature to a generation."""
    generations = BaseGenerations(root)
    name = generations.seal(source_of(square(2)), SealPlan()).name
    generations.sign(name, OTHER_KEY)
    life.opened(generation=name)
    life.ready(after=name)
    generations.sign(name, KEY)
    life.done()


def apply_a_key_list(life: Life, root: Path) -> None:
    """Put a newer list of keys in force."""
    lists = KeyLists(root, TRUST)
    found = lists.in_force()
    life.opened(number=None if found is None else found.keys.number)
    envelope = signed_key_list(life.number)
    life.ready(after=life.number)
    lists.apply(envelope, "the list")
    life.done()


def migrate(life: Life, dsn: str) -> None:
    life.ready()
    apply_migrations(dsn)
    life.done()


def make_folders(life: Life, root: Path) -> None:
    """What tests of the killing itself look at."""
    life.ready()
    for number in range(FOLDERS):
        (root / str(number)).mkdir()
    life.done()


def live(order: Facts, say: Say, hear: Hear) -> None:
    """Do what `order` says."""
    logging.disable(logging.CRITICAL)
    life = Life(order, say, hear)
    operation = order["operation"]
    if operation == "migration":
        migrate(life, order["dsn"])
    elif operation in ("seal", "seal with index", "base switch"):
        change_a_base(
            life,
            Path(order["root"]),
            switching=operation == "base switch",
            with_index=operation == "seal with index",
        )
    elif operation == "base sign":
        sign_a_base(life, Path(order["root"]))
    elif operation == "base keys apply":
        apply_a_key_list(life, Path(order["root"]))
    elif operation == "recall apply":
        apply_a_recall_list(life, Path(order["root"]))
    elif operation in ("rebuild", "rollback"):
        change_an_index(life, back=operation == "rollback")
    elif operation == "folders":
        make_folders(life, Path(order["root"]))
    elif operation == "opening":
        open_a_store(life)
    else:
        change_a_store(life, CHANGES[operation])
