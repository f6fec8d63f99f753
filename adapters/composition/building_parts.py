"""Building a base from imagery: `aerotile build`. No database is opened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import attrs

from ...domain.build_blocks import (
    BuildSteps,
    Progress,
    StepReport,
    cut_blocks,
    describe_blocks,
    order_blocks,
)
from ...domain.build_sizes import BuildSize, build_size
from ...domain.errors import BaseSealError, RuntimeNotAvailableError
from ...domain.ports.block_runner import BlockRunner
from ...domain.values.areas import boxes_around
from ...domain.values.catalogue_entries import Keys
from ...domain.values.sectors import SEEDED_RULES
from ...domain.values.tile_key import VariantTable
from . import build_environment as environment
from .build_planning import PlannedBuild, PlanningParts

if TYPE_CHECKING:
    from ..sealed_base.manifest import BaseManifest, SealedIndex
    from ..sealed_base.seal import SealSource


@attrs.define(kw_only=True)
class BuildReport:
    """What a build came to."""

    left_out: dict[str, int]
    """What lies in the sources and is no tile, by source and kind."""
    places: int
    """Of the plan that a source lists."""
    tiles: StepReport = attrs.field(factory=StepReport)
    descriptors: StepReport | None = None
    shards: StepReport | None = None
    graph: StepReport | None = None
    manifest: BaseManifest | None = None
    """None where refusals kept the base from being sealed."""
    seconds: dict[str, float] = attrs.field(factory=dict)
    """By phase; `graph` is what `seal` waited for it when the tiles were sealed."""

    @property
    def refused(self) -> int:
        """Places and tiles that were refused, in all steps."""
        steps = (self.tiles, self.descriptors)
        return sum(len(step.refusals) for step in steps if step is not None)


class BuildingParts(PlanningParts):
    """What `aerotile build` does."""

    @contextmanager
    def block_runner(
        self, planned: PlannedBuild, *, workers: int | None = None, scheduler: str | None = None
    ) -> Iterator[BlockRunner]:
        """What runs the blocks: the workers of a scheduler, so many workers here, or this process.

        Raises `RuntimeNotAvailableError` without Dask, `BaseSealError` when the scheduler does not answer.
        """
        from ..build_files.one_process import OneProcess

        if workers is None and scheduler is None:
            yield OneProcess()
            return
        try:
            from ..dask.runner import runner_of_scheduler, runner_of_workers
        except ImportError as error:
            raise RuntimeNotAvailableError(
                f"a build on several processes needs Dask, which can't be imported: {error}",
                remedy="pip install 'aerotile[ground]'",
            ) from error
        found = partial(environment.environment_of, planned.environment)
        with ExitStack() as stack:
            if scheduler is not None:
                runner = runner_of_scheduler(scheduler, found)
            else:
                assert workers is not None
                scratch = stack.enter_context(TemporaryDirectory(prefix="aerotile-workers-"))
                runner = runner_of_workers(workers, scratch, found)
            yield stack.enter_context(runner)

    def build_size(self, planned: PlannedBuild) -> BuildSize:
        """What the build takes if every place gives a tile. Raises `ImagerySourceError`."""
        from ..descriptor_arrays import component_of
        from .build_jobs import headings_of

        model = planned.model
        return build_size(
            tiles=planned.places,
            blocks=sum(1 for _ in planned.mosaic.blocks()),
            jpeg_bytes=planned.jpeg_bytes,
            rows_a_tile=0 if model is None else len(headings_of(planned, model)),
            dimension=planned.dimension,
            component_bytes=component_of(self.config.index.storage).itemsize,
        )

    def graph_memory_bytes(self, planned: PlannedBuild) -> int:
        """What the graph of all places takes in memory, on one machine; 0 without a network."""
        from .build_graph import graph_memory_bytes

        return graph_memory_bytes(self.config, planned, planned.places)

    def build_base(
        self,
        planned: PlannedBuild,
        runner: BlockRunner,
        *,
        number: int | None = None,
        despite_refusals: bool = False,
        progress: Progress = lambda phase, done, total: None,
    ) -> BuildReport:
        """Cut, describe and seal; see `build_blocks`. The same inputs and number give the same bytes.

        A refused place keeps the base from being sealed, unless `despite_refusals`. Raises `BaseSealError`,
        `IndexBuildError` where there is too little memory for the graph, and in one process what the steps
        raise.
        """
        from ..build_files.work_folder import work_in
        from . import build_steps
        from .build_graph import refuse_without_memory

        report = BuildReport(
            left_out={
                f"{source.name}: {kind}": count
                for source in planned.mosaic.sources
                for kind, count in sorted(source.facts.left_out.items())
            },
            places=planned.places,
        )
        plan = planned.plan
        if number is not None:
            self.base_generations.refuse_taken(number)
        refuse_without_memory(self.config, planned, runner, planned.places)
        with _files_in(plan.work), work_in(plan.work):
            steps = self.build_steps(planned, runner)
            try:
                with _timed(report, "cut"):
                    report.tiles = cut_blocks(planned.mosaic, steps, runner, progress, places=planned.places)
                _refuse_nothing(report.tiles)
                if steps.describe is not None:
                    refuse_without_memory(self.config, planned, runner, report.tiles.rows)
                    with _timed(report, "describe"):
                        report.descriptors = describe_blocks(report.tiles, steps, runner, progress)
                    with _timed(report, "order"):
                        report.shards = order_blocks(report.descriptors, steps, runner, progress)
            finally:
                build_steps.close_opened()
            if report.refused and not despite_refusals:
                return report
            with _timed(report, "seal"):
                report.manifest = self._seal_blocks(planned, report, runner, number, progress)
        return report

    def build_steps(self, planned: PlannedBuild, runner: BlockRunner) -> BuildSteps:
        """The functions of one block, each with what all blocks share. Raises `OSError`."""
        from . import build_jobs, build_steps

        model = planned.model
        return BuildSteps(
            cut=partial(build_steps.cut, build_jobs.cut_job(self.config, planned, runner.threads)),
            describe=None
            if model is None
            else partial(build_steps.describe, build_jobs.describe_job(self.config, planned, model)),
            order=partial(build_steps.order, build_jobs.order_job(self.config, planned)),
        )

    def _seal_blocks(
        self,
        planned: PlannedBuild,
        report: BuildReport,
        runner: BlockRunner,
        number: int | None,
        progress: Progress,
    ) -> BaseManifest:
        from ..build_files.cut_tiles import TilesOfBlocks
        from ..sealed_base.read_ahead import one_by_one
        from ..sealed_base.seal import SealSource
        from ..sealed_base.seal_plan import SealPlan
        from .build_graph import copy_index, graph_beside
        from .build_jobs import environment_of_build

        plan, dataset, area = planned.plan, planned.dataset, planned.mosaic.area
        made_with = {
            name: text for name, text in environment_of_build(planned).items() if name != environment.PYTHON
        }
        in_force = self.recall_lists.read()
        tiles = TilesOfBlocks(
            report.tiles.files,
            tile_size_pixels=self.config.tiles.tile_size_pixels,
            dataset=None if dataset is None else dataset.name,
        )
        source = SealSource(
            rows=tiles.rows,
            read=one_by_one(tiles.read),
            sectors=planned.sectors,
            rules=SEEDED_RULES,
            datasets=() if dataset is None else (dataset,),
            default_classification=self.config.freshness.default_classification,
            aerotile=version("aerotile"),
            recalls=None if in_force is None else in_force.recalls,
            made_with=made_with,
        )

        def seal(source: SealSource) -> BaseManifest:
            return self.base_generations.seal(
                source,
                SealPlan(zooms=plan.zooms, chosen_within=() if area is None else boxes_around(area)),
                number=number,
                progress=lambda done, total: progress("seal", done, total),
            )

        if report.shards is None:
            return seal(source)
        graph, descriptors = StepReport(), report.shards.rows
        report.graph = graph
        with graph_beside(
            self.config, planned, runner, report.shards, tiles, source.recalls, progress
        ) as wait_for_graph:

            def write_index(folder: Path, keys: Keys, variants: VariantTable) -> SealedIndex:
                with _timed(report, "graph"):
                    graph.add(wait_for_graph())
                return copy_index(graph.files[0], folder, keys, given=descriptors)

            return seal(attrs.evolve(source, write_index=write_index))


def _refuse_nothing(tiles: StepReport) -> None:
    """Raise `BaseSealError` where a cut gave no tile, with what became of its places."""
    if tiles.rows:
        return
    counts = ", ".join(f"{count} {what}" for what, count in sorted(tiles.counts.items()))
    such = "".join(f"; such as {each.file}: {each.message}" for each in tiles.refusals[:1])
    raise BaseSealError(
        f"no place of the plan gives a tile ({counts or 'there is none'}{such})",
        remedy="compare area, zooms and partial of the plan with the sources, or mend them",
    )


@contextmanager
def _files_in(work: Path) -> Iterator[None]:
    """Errors of the disk, with what to do about them."""
    try:
        yield
    except OSError as error:
        raise BaseSealError(
            f"{error.filename or work}: {error.strerror or error}",
            remedy=f"make room or mend the disk, then build again: what is finished in {work} stays",
        ) from error


@contextmanager
def _timed(report: BuildReport, phase: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        report.seconds[phase] = time.monotonic() - started
