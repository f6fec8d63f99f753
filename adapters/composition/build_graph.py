"""The index of a build: one task, on the machine with the most memory, beside the seal of the tiles."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from ...domain.build_blocks import BlockFile, BlockOutcome, GraphTask, Progress, StepReport
from ...domain.errors import IndexBuildError
from ...domain.ports.block_runner import BlockRunner
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import HnswParams, VectorStorage
from ...domain.values.recall_list import RecallList
from ...domain.values.timestamps import timestamp_of
from ..build_files.cut_tiles import TilesOfBlocks
from ..build_files.shards import ShardedDescriptors
from ..build_files.work_folder import identity_of, new_folder, noted_progress, noting_progress, place_of
from ..config.settings import AerotileConfig
from .build_jobs import environment_of_build, headings_of
from .build_planning import PlannedBuild

if TYPE_CHECKING:
    from ..sealed_base.manifest import SealedIndex

_COPIED_BYTES = 8 << 20
_LOOK_S = 1.0
"""How often the progress of a graph is read."""


@attrs.frozen(kw_only=True)
class GraphJob:
    """What decides an index beside its descriptors."""

    work: str
    params: HnswParams
    storage: VectorStorage
    descriptor_model: str
    built_at: datetime
    environment: tuple[tuple[str, str], ...]
    """What decides the bytes beside the inputs."""


def graph(job: GraphJob, task: GraphTask) -> BlockOutcome:
    """Write the index of all descriptors, with its graph, into a folder, whose digest is its metadata's.

    One thread a core builds the graph: their number decides no byte. Raises `IndexBuildError`,
    `BaseSealError`, `OSError`.
    """
    from ..faiss.sealed_build import sealed_index_in, write_described_index

    path = place_of_graph(job, task)
    descriptors = ShardedDescriptors(task.shards)
    before = None
    if path.is_dir():
        try:
            before = sealed_index_in(path, given=len(descriptors.keys))
        except (IndexBuildError, FileNotFoundError):
            shutil.rmtree(path)
    if before is None:
        with new_folder(path) as folder, noting_progress(path) as progress:
            written = write_described_index(
                folder,
                descriptors,
                dimension=descriptors.dimension,
                params=job.params,
                storage=job.storage,
                descriptor_model=job.descriptor_model,
                built_at=job.built_at,
                left_out=np.array(task.left_out, np.int64),
                threads=len(os.sched_getaffinity(0)),
                progress=progress,
            )
    else:
        written = before
    return BlockOutcome(
        file=BlockFile(str(path), written.metadata_sha256, written.metadata.count, ()),
        counts={},
        taken_over=before is not None,
    )


def place_of_graph(job: GraphJob, task: GraphTask) -> Path:
    """The folder of an index. Raises `OSError`."""
    facts = [
        [shard.digest for shard in task.shards],
        task.left_out,
        {name: getattr(value, "value", value) for name, value in attrs.asdict(job.params).items()},
        job.storage.value,
        job.descriptor_model,
        job.built_at.isoformat(),
        job.environment,
    ]
    return place_of(job.work, "graphs", identity_of(facts))


def graph_memory_bytes(config: AerotileConfig, planned: PlannedBuild, tiles: int) -> int:
    """What the graph of so many tiles takes in memory; 0 without a network."""
    from ..faiss.build_memory import build_memory_bytes
    from ..faiss.kinds import kind_for

    if planned.model is None:
        return 0
    descriptors = tiles * len(headings_of(planned, planned.model))
    params, storage = config.index.hnsw_params, config.index.storage
    kind = kind_for(descriptors, planned.dimension, params, storage)
    return build_memory_bytes(descriptors, planned.dimension, params, storage, 1, kind)


def refuse_without_memory(
    config: AerotileConfig, planned: PlannedBuild, runner: BlockRunner, tiles: int
) -> None:
    """Raise `IndexBuildError` where no machine has the memory for the graph of so many tiles."""
    from ..faiss.build_memory import refuse_without_memory

    if planned.model is None:
        return
    refuse_without_memory(
        tiles * len(headings_of(planned, planned.model)),
        planned.dimension,
        config.index.hnsw_params,
        config.index.storage,
        threads=1,
        available=runner.available_memory_bytes(),
    )


@contextmanager
def graph_beside(
    config: AerotileConfig,
    planned: PlannedBuild,
    runner: BlockRunner,
    shards: StepReport,
    tiles: TilesOfBlocks,
    recalls: RecallList | None,
    progress: Progress,
) -> Iterator[Callable[[], BlockOutcome]]:
    """Begin the index; what is entered waits for it.

    Raises `BaseSealError`, `IndexBuildError`, `OSError`.
    """
    assert planned.model is not None
    job = GraphJob(
        work=str(planned.plan.work),
        params=config.index.hnsw_params,
        storage=config.index.storage,
        descriptor_model=planned.model.name,
        # No time of the clock may be in a base.
        built_at=timestamp_of(tiles.latest_capture_us()),
        environment=tuple(sorted(environment_of_build(planned).items())),
    )
    task = GraphTask(
        shards=tuple(shards.files), left_out=() if recalls is None else tiles.recalled_keys(recalls)
    )
    place = place_of_graph(job, task)
    with runner.beside("graph", partial(graph, job), task) as wait:

        def wait_for_graph() -> BlockOutcome:
            with _showing(place, shards.rows, progress):
                return wait()

        yield wait_for_graph


def copy_index(index: BlockFile, folder: Path, keys: Keys, *, given: int) -> SealedIndex:
    """Copy an index of tiles with these sorted keys into a generation, and read it back.

    Raises `IndexBuildError`, `OSError`.
    """
    from ..faiss.sealed_build import sealed_index_in
    from ..files.atomic_file import new_file
    from ..index_files import INDEX_FILES
    from ..sealed_base.seal import FILE_MODE
    from .sealing_parts import sealed_index_of

    for name in INDEX_FILES:
        with (Path(index.path) / name).open("rb") as built, new_file(folder / name, FILE_MODE) as copy:
            shutil.copyfileobj(built, copy, _COPIED_BYTES)
    return sealed_index_of(sealed_index_in(folder, given=given, metadata_sha256=index.digest, taken=keys))


@contextmanager
def _showing(place: Path, total: int, progress: Progress) -> Iterator[None]:
    """Show how far the graph is that another process, or this thread, builds meanwhile."""

    has_ended = threading.Event()

    def show() -> None:
        while not has_ended.wait(_LOOK_S):
            progress("graph", noted_progress(place), total)

    progress("graph", 0, total)
    showing = threading.Thread(target=show, name="aerotile-graph", daemon=True)
    showing.start()
    try:
        yield
    finally:
        has_ended.set()
        showing.join()
    progress("graph", total, total)
