"""What all blocks of each step of a build share, from its plan and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..build_files.work_folder import identity_of
from ..config.settings import AerotileConfig
from . import build_environment as environment
from .build_planning import PlannedBuild
from .build_steps import CutJob, DescribeJob, OrderJob

if TYPE_CHECKING:
    from ...domain.ports.descriptor_model import DescriptorModel


def cut_job(config: AerotileConfig, planned: PlannedBuild, threads: int | None) -> CutJob:
    """Of the cut; `threads` of one process. Raises `OSError`."""
    from ..input_files.source_digest import digest_of_file
    from .imagery_parts import file_and_table

    plan = planned.plan
    captured_at = plan.captured_at
    enlarge_to = max(plan.zooms) if plan.enlarge else None
    return CutJob(
        identity=identity_of(
            {
                "sources": [digest.sha256 for digest in planned.digests],
                "tables": [file_and_table(name)[1] for name in plan.sources],
                "beside": [
                    [Path(file.name).suffix, digest_of_file(Path(file.name)).sha256]
                    for file in planned.beside
                ],
                "tile_size": config.tiles.tile_size_pixels,
                "scheme": plan.scheme,
                "enlarge_to": enlarge_to,
                "captured_at": None if captured_at is None else captured_at.isoformat(),
                "partial": plan.partial,
                "environment": dict(environment.environment_of(planned.cutting)),
            }
        ),
        work=str(plan.work),
        sources=planned.files,
        beside=planned.beside,
        tile_size=config.tiles.tile_size_pixels,
        scheme=plan.scheme,
        enlarge_to=enlarge_to,
        captured_at=captured_at,
        dataset=None if planned.dataset is None else planned.dataset.name,
        take_partial=plan.partial,
        threads=threads,
    )


def describe_job(config: AerotileConfig, planned: PlannedBuild, model: DescriptorModel) -> DescribeJob:
    """Of the description."""
    plan = planned.plan
    assert plan.describe is not None
    headings = headings_of(planned, model)
    return DescribeJob(
        identity=identity_of(
            {
                "model": model.digest,
                "providers": list(planned.descriptor_settings.providers),
                "headings": list(headings),
                "batch": plan.describe.batch,
                "environment": dict(environment_of_build(planned)),
            }
        ),
        work=str(plan.work),
        settings=planned.descriptor_settings,
        digest=model.digest,
        headings=headings,
        batch=plan.describe.batch,
        dimension=planned.dimension,
        tile_size=config.tiles.tile_size_pixels,
        storage=config.index.storage,
    )


def order_job(config: AerotileConfig, planned: PlannedBuild) -> OrderJob:
    """Of the shards."""
    return OrderJob(work=str(planned.plan.work), storage=config.index.storage)


def headings_of(planned: PlannedBuild, model: DescriptorModel) -> tuple[int, ...]:
    """The headings at which each tile is described."""
    assert planned.plan.describe is not None
    return planned.plan.describe.headings or model.headings


def environment_of_build(planned: PlannedBuild) -> Mapping[str, str]:
    """What decides the bytes beside the inputs, as this process has it."""
    return environment.environment_of(planned.environment)
