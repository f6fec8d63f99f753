"""The plan of a build with its sources and its network open: what is known before the first block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ...domain.describe_tiles import tried_dimension
from ...domain.errors import BaseSealError, DatasetNotStorableError, ImagerySourceError
from ...domain.intake.mosaic import Mosaic
from ...domain.intake.provision import dates_of_files, undated
from ...domain.policies.freshness import check_capture_time
from ...domain.values.datasets import Dataset, SourceDigest
from ...domain.values.sectors import SectorBoundary
from ..config.settings import DescriptorConfig
from . import build_environment as environment
from .describing_parts import DescribingParts

if TYPE_CHECKING:
    from ...domain.ports.descriptor_model import DescriptorModel
    from ...domain.values.areas import Area
    from ..input_files.build_plan import BuildPlan
    from .source_files import SourceFile

_RASTER = "GeoTIFF"
"""The kind of a source that GDAL reads."""


@attrs.frozen(kw_only=True)
class PlannedBuild:
    """A plan with its sources open, before the first block."""

    plan: BuildPlan
    mosaic: Mosaic
    places: int
    jpeg_bytes: int
    """Of their tiles, about."""
    model: DescriptorModel | None
    dimension: int
    """Of a descriptor, as the network was tried; 0 without one."""
    descriptor_settings: DescriptorConfig
    """Those that name the network."""
    cutting: tuple[str, ...]
    """What decides the bytes of tiles beside the inputs."""
    environment: tuple[str, ...]
    """What every machine of the build must have in the same version."""
    digests: tuple[SourceDigest, ...]
    """Of the sources."""
    files: tuple[SourceFile, ...]
    """The sources, as they were before they were hashed."""
    beside: tuple[SourceFile, ...]
    """Files beside GeoTIFFs that are read with them, likewise."""
    sectors: tuple[SectorBoundary, ...]
    dataset: Dataset | None


class PlanningParts(DescribingParts):
    """What a build opens and hashes before its first block."""

    @contextmanager
    def planned_build(self, plan: BuildPlan, area: Area | None) -> Iterator[PlannedBuild]:
        """Open the sources and the network of a plan, hash them, and count the places.

        Raises `ImagerySourceError`, `DescriptorModelError`, `ConfigurationError`,
        `RuntimeNotAvailableError`, `CaptureTimeInFutureError`, `InputFileError`, `DatasetNotStorableError`,
        `BaseSealError`, `OSError`.
        """
        from ..input_files.sector_files import read_sectors
        from .imagery_parts import (
            digest_of_source,
            open_imagery_source,
            refuse_scheme_without_rows,
            tile_picture_codec,
        )
        from .model_parts import open_descriptor_model
        from .source_files import SourceFile

        self._refuse_shared_folder(plan)
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
            refuse_scheme_without_rows(sources, plan.scheme)
            files = tuple(map(SourceFile.of, plan.sources))
            codec = tile_picture_codec(self.config.tiles.tile_size_pixels)
            mosaic = Mosaic.of(sources, codec, zooms=plan.zooms, area=area)
            self._check_dates(plan, mosaic)
            estimates = mosaic.estimate()
            settings = self._descriptor_settings(plan)
            model = None if plan.describe is None else open_descriptor_model(settings, threads=1)
            kinds = {source.facts.kind for source in sources}
            sectors = read_sectors(*plan.sectors).sectors
            rasters = [Path(source.name) for source in sources if source.facts.kind == _RASTER]
            beside = tuple(SourceFile.of(str(path)) for path in _files_beside(rasters))
            digests = tuple(filter(None, (digest_of_source(name, plan.scheme) for name in plan.sources)))
            yield PlannedBuild(
                plan=plan,
                mosaic=mosaic,
                places=sum(one.found for one in estimates),
                jpeg_bytes=sum(one.disk_bytes for one in estimates),
                model=model,
                dimension=0 if model is None else tried_dimension(model, self.config.tiles.tile_size_pixels),
                descriptor_settings=settings,
                cutting=_cutting_with(kinds),
                environment=_cutting_with(kinds) + (() if model is None else environment.WITH_AN_INDEX),
                digests=digests,
                files=files,
                beside=beside,
                sectors=sectors,
                dataset=_dataset_of(plan, digests),
            )

    def _refuse_shared_folder(self, plan: BuildPlan) -> None:
        """Raise `InputFileError` for a working folder whose files would lie among those of others."""
        from ..build_files.work_folder import STEPS
        from ..input_files.errors import InputFileError

        config = self.config
        held = [Path(name) for name in plan.sources if Path(name).is_dir()]
        held += [config.tiles_folder, config.index_folder, config.base_folder, config.record_folder]
        for folder in held:
            place = folder.resolve()
            for step in STEPS:
                inner = (plan.work / step).resolve()
                if inner == place or place in inner.parents:
                    raise InputFileError(
                        f"{plan.file}: work: {plan.work} would put files of the build into {folder}",
                        remedy="name a folder that a build has for itself",
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

    def _descriptor_settings(self, plan: BuildPlan) -> DescriptorConfig:
        configured, named = self.config.descriptor, plan.describe
        if named is None or (named.model is None and named.callable is None):
            return configured
        return attrs.evolve(configured, model=named.model, callable=named.callable)


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


def _files_beside(rasters: list[Path]) -> tuple[Path, ...]:
    if not rasters:
        return ()
    from ..rasters.raster_file import files_beside

    return tuple(path for raster in rasters for path in files_beside(raster))
