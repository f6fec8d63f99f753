"""Building a base from imagery: `aerotile build`. No database is opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import attrs

from ...domain.build_blocks import BuildSteps, Progress, StepReport, cut_blocks, describe_blocks
from ...domain.errors import (
    BaseSealError,
    DatasetNotStorableError,
    ImagerySourceError,
    RuntimeNotAvailableError,
)
from ...domain.intake.mosaic import Mosaic
from ...domain.intake.provision import dates_of_files, undated
from ...domain.policies.freshness import check_capture_time
from ...domain.ports.block_runner import BlockRunner
from ...domain.values.catalogue_entries import Keys
from ...domain.values.datasets import Dataset, SourceDigest
from ...domain.values.sectors import SEEDED_RULES, SectorBoundary
from ...domain.values.tile_key import VariantTable
from ...domain.values.timestamps import timestamp_of
from ..config.settings import DescriptorConfig
from . import build_environment as environment
from .describing_parts import DescribingParts

if TYPE_CHECKING:
    from ...domain.ports.descriptor_model import DescriptorModel
    from ...domain.values.areas import Area
    from ..build_files.cut_tiles import TilesOfBlocks
    from ..input_files.build_plan import BuildPlan
    from ..sealed_base.manifest import BaseManifest, SealedIndex
    from .build_steps import CutJob, DescribeJob


_RASTER = "GeoTIFF"
"""The kind of a source that GDAL reads."""


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
    manifest: BaseManifest | None = None
    """None where refusals kept the base from being sealed."""
    seconds: dict[str, float] = attrs.field(factory=dict)
    """By phase."""

    @property
    def refused(self) -> int:
        """Places and tiles that were refused, in all steps."""
        steps = (self.tiles, self.descriptors)
        return sum(len(step.refusals) for step in steps if step is not None)


@attrs.frozen(kw_only=True)
class PlannedBuild:
    """A plan with its sources open, before the first block."""

    plan: BuildPlan
    mosaic: Mosaic
    places: int
    model: DescriptorModel | None
    cutting: tuple[str, ...]
    """What decides the bytes of tiles beside the inputs."""
    environment: tuple[str, ...]
    """What every machine of the build must have in the same version."""
    digests: tuple[SourceDigest, ...]
    """Of the sources."""
    beside: tuple[Path, ...]
    """Files beside GeoTIFFs that are read with them."""
    sectors: tuple[SectorBoundary, ...]
    dataset: Dataset | None


class BuildingParts(DescribingParts):
    """What `aerotile build` does."""

    @contextmanager
    def planned_build(self, plan: BuildPlan, area: Area | None) -> Iterator[PlannedBuild]:
        """Open the sources and the network of a plan, hash them, and count the places.

        Raises `ImagerySourceError`, `DescriptorModelError`, `ConfigurationError`,
        `RuntimeNotAvailableError`, `CaptureTimeInFutureError`, `InputFileError`, `DatasetNotStorableError`,
        `BaseSealError`, `OSError`.
        """
        from ..input_files.sector_files import read_sectors
        from .imagery_parts import open_imagery_source, tile_picture_codec

        with ExitStack() as stack:
            sources = [
                stack.enter_context(
                    open_imagery_source(
                        name,
                        tile_size=self.config.tiles.tile_size_pixels,
                        scheme=plan.scheme,
                        enlarge_to=max(plan.zooms) if plan.enlarge else None,
                    )
                )
                for name in plan.sources
            ]
            codec = tile_picture_codec(self.config.tiles.tile_size_pixels)
            mosaic = Mosaic.of(sources, codec, zooms=plan.zooms, area=area)
            self._check_dates(plan, mosaic)
            estimates = mosaic.estimate()
            model = self._model_of(plan)
            kinds = {source.facts.kind for source in sources}
            sectors = read_sectors(*plan.sectors).sectors
            digests = tuple(map(_digest, plan.sources))
            rasters = [Path(source.name) for source in sources if source.facts.kind == _RASTER]
            yield PlannedBuild(
                plan=plan,
                mosaic=mosaic,
                places=sum(one.found for one in estimates),
                model=model,
                cutting=_cutting_with(kinds),
                environment=_cutting_with(kinds) + (() if model is None else environment.WITH_AN_INDEX),
                digests=digests,
                beside=_files_beside(rasters),
                sectors=sectors,
                dataset=_dataset_of(plan, digests),
            )

    def _check_dates(self, plan: BuildPlan, mosaic: Mosaic) -> None:
        if plan.captured_at is None and (names := undated(mosaic.sources)):
            raise ImagerySourceError(
                f"{names[0]} does not say when the ground looked like that, "
                "and nothing is sealed without a date",
                remedy=f"say it with captured_at in {plan.file}",
            )
        if plan.captured_at is None and (told := dates_of_files(mosaic.sources)):
            raise ImagerySourceError(
                f"{told[0]}, which is often when the file was made and not when the ground looked like that",
                remedy=f"say the date with captured_at in {plan.file}",
            )
        said = [plan.captured_at] if plan.captured_at else [one.facts.captured_at for one in mosaic.sources]
        for captured_at in filter(None, said):
            check_capture_time(captured_at, self.clock.now())

    def _model_of(self, plan: BuildPlan) -> DescriptorModel | None:
        from .model_parts import open_descriptor_model

        if plan.describe is None:
            return None
        return open_descriptor_model(self._descriptor_settings(plan), threads=1)

    def _descriptor_settings(self, plan: BuildPlan) -> DescriptorConfig:
        assert plan.describe is not None
        named = plan.describe
        if named.model is None and named.callable is None:
            return self.config.descriptor
        return attrs.evolve(self.config.descriptor, model=named.model, callable=named.callable)

    @contextmanager
    def block_runner(
        self, planned: PlannedBuild, *, workers: int | None = None, scheduler: str | None = None
    ) -> Iterator[BlockRunner]:
        """Who runs the blocks: the workers of a scheduler, so many workers here, or this process.

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

        A place that was refused keeps the base from being sealed, unless
        `despite_refusals`. Raises `BaseSealError`, and in one process what the steps raise.
        """
        from ..build_files.work_folder import work_in
        from . import build_steps

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
        with _files_in(plan.work), work_in(plan.work):
            steps = self.build_steps(planned, runner)
            try:
                with _timed(report, "cut"):
                    report.tiles = cut_blocks(planned.mosaic, steps, runner, progress, places=planned.places)
                _refuse_nothing(report.tiles)
                if steps.describe is not None:
                    with _timed(report, "describe"):
                        report.descriptors, report.shards = describe_blocks(
                            report.tiles, steps, runner, progress
                        )
            finally:
                build_steps.close_opened()
            if report.refused and not despite_refusals:
                return report
            with _timed(report, "seal"):
                report.manifest = self._seal_blocks(planned, report, number, progress)
        return report

    def build_steps(self, planned: PlannedBuild, runner: BlockRunner) -> BuildSteps:
        """The functions of one block, each with what all blocks share. Raises `BaseSealError`, `OSError`."""
        from . import build_steps

        work, model = str(planned.plan.work), planned.model
        describing = None if model is None else self._describe_job(planned, model)
        ordering = build_steps.OrderJob(work=work, storage=self.config.index.storage)
        return BuildSteps(
            cut=partial(build_steps.cut, self._cut_job(planned, runner.threads)),
            describe=None if describing is None else partial(build_steps.describe, describing),
            order=partial(build_steps.order, ordering),
        )

    def _cut_job(self, planned: PlannedBuild, threads: int | None) -> CutJob:
        from ..build_files.work_folder import identity_of
        from ..input_files.source_digest import digest_of_file
        from .build_steps import CutJob, SourceFile
        from .imagery_parts import file_and_table

        plan = planned.plan
        captured_at = plan.captured_at
        enlarge_to = max(plan.zooms) if plan.enlarge else None
        return CutJob(
            identity=identity_of(
                {
                    "sources": [digest.sha256 for digest in planned.digests],
                    "tables": [file_and_table(name)[1] for name in plan.sources],
                    "beside": [[path.suffix, digest_of_file(path).sha256] for path in planned.beside],
                    "tile_size": self.config.tiles.tile_size_pixels,
                    "scheme": plan.scheme,
                    "enlarge_to": enlarge_to,
                    "captured_at": None if captured_at is None else captured_at.isoformat(),
                    "partial": plan.partial,
                    "environment": dict(environment.environment_of(planned.cutting)),
                }
            ),
            work=str(plan.work),
            sources=tuple(map(SourceFile.of, plan.sources)),
            beside=tuple(SourceFile.of(str(path)) for path in planned.beside),
            tile_size=self.config.tiles.tile_size_pixels,
            scheme=plan.scheme,
            enlarge_to=enlarge_to,
            captured_at=captured_at,
            dataset=None if planned.dataset is None else planned.dataset.name,
            take_partial=plan.partial,
            threads=threads,
        )

    def _describe_job(self, planned: PlannedBuild, model: DescriptorModel) -> DescribeJob:
        from ..build_files.work_folder import identity_of
        from .build_steps import DescribeJob

        plan = planned.plan
        assert plan.describe is not None
        headings = plan.describe.headings or model.headings
        return DescribeJob(
            identity=identity_of(
                {
                    "model": model.digest,
                    "providers": list(self._descriptor_settings(plan).providers),
                    "headings": list(headings),
                    "batch": plan.describe.batch,
                    "environment": dict(self.build_environment(planned)),
                }
            ),
            work=str(plan.work),
            settings=self._descriptor_settings(plan),
            digest=model.digest,
            headings=headings,
            batch=plan.describe.batch,
            tile_size=self.config.tiles.tile_size_pixels,
            storage=self.config.index.storage,
        )

    @staticmethod
    def build_environment(planned: PlannedBuild) -> Mapping[str, str]:
        """What decides the bytes beside the inputs, as this process has it."""
        return environment.environment_of(planned.environment)

    def _seal_blocks(
        self,
        planned: PlannedBuild,
        report: BuildReport,
        number: int | None,
        progress: Progress,
    ) -> BaseManifest:
        from ..build_files.cut_tiles import TilesOfBlocks
        from ..sealed_base.seal import SealSource
        from ..sealed_base.seal_plan import SealPlan

        plan, dataset = planned.plan, planned.dataset
        made_with = {
            name: text for name, text in self.build_environment(planned).items() if name != environment.PYTHON
        }
        in_force = self.recall_lists.read()
        tiles = TilesOfBlocks(
            report.tiles.files,
            tile_size_pixels=self.config.tiles.tile_size_pixels,
            dataset=None if dataset is None else dataset.name,
        )
        source = SealSource(
            rows=tiles.rows,
            read=tiles.read,
            sectors=planned.sectors,
            rules=SEEDED_RULES,
            datasets=() if dataset is None else (dataset,),
            default_classification=self.config.freshness.default_classification,
            aerotile=version("aerotile"),
            recalls=None if in_force is None else in_force.recalls,
            write_index=None
            if planned.model is None or report.shards is None
            else self._sharded_index_writer(planned.model, report.shards, tiles, progress),
            made_with=made_with,
        )
        return self.base_generations.seal(
            source,
            SealPlan(zooms=plan.zooms),
            number=number,
            progress=lambda done, total: progress("seal", done, total),
        )

    def _sharded_index_writer(
        self, model: DescriptorModel, shards: StepReport, tiles: TilesOfBlocks, progress: Progress
    ) -> Callable[[Path, Keys, VariantTable], SealedIndex]:
        def write(folder: Path, keys: Keys, variants: VariantTable) -> SealedIndex:
            from ..build_files.shards import ShardedDescriptors
            from .sealing_parts import sealed_index_of

            descriptors = ShardedDescriptors(shards.files)
            written = self.index_builder.seal_described_into(
                folder,
                descriptors,
                dimension=descriptors.dimension,
                descriptor_model=model.name,
                # No time of the clock may be in a base.
                built_at=timestamp_of(tiles.latest_capture_us),
                taken=keys,
                variants=variants,
                progress=lambda done, total: progress("index", done, total),
            )
            return sealed_index_of(written)

        return write


def _cutting_with(kinds: set[str]) -> tuple[str, ...]:
    """What decides the bytes of tiles from sources of these kinds."""
    return environment.CUTTING + (environment.RASTERS if _RASTER in kinds else ())


def _dataset_of(plan: BuildPlan, digests: tuple[SourceDigest, ...]) -> Dataset | None:
    """The dataset of the plan, with the digest of its source.

    Raises `DatasetNotStorableError`, `BaseSealError`.
    """
    named = plan.dataset
    if named is None:
        return None
    if not named.may_be_stored_offline:
        raise DatasetNotStorableError(named.name, named.licence)
    if len(digests) != 1:
        raise BaseSealError(
            f"{plan.file} has a [dataset] and {len(digests)} sources, "
            "and a dataset has one source with one digest",
            remedy="make one archive of them, or leave [dataset] out",
        )
    try:
        return Dataset(
            **attrs.asdict(named),
            source=Path(plan.sources[0]).name,
            source_sha256=digests[0].sha256,
            digest_of=digests[0].of,
            captured_at=plan.captured_at,
        )
    except ValueError as error:
        raise BaseSealError(f"{plan.file}: [dataset]: {error}", remedy="correct it") from error


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


def _files_beside(rasters: list[Path]) -> tuple[Path, ...]:
    if not rasters:
        return ()
    from ..rasters.raster_file import files_beside

    return tuple(path for raster in rasters for path in files_beside(raster))


def _digest(name: str) -> SourceDigest:
    """The digest of a source: of the file, or of the pictures of a folder."""
    from ..input_files.folder_notes import read_folder_notes
    from ..input_files.source_digest import digest_of_file, digest_of_tiles
    from ..input_files.tile_folder import PICTURE_KINDS, scan_tile_folder
    from ..input_files.tile_scheme import settle_scheme
    from .imagery_parts import file_and_table

    path, _ = file_and_table(name)
    if path.is_dir():
        scheme = settle_scheme(None, read_folder_notes(path))
        return digest_of_tiles(scan_tile_folder(path, (), scheme, kinds=PICTURE_KINDS).tiles)
    return digest_of_file(path)


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
