"""The pytest plugin that runs blocks of subjects in turn and gathers their samples.

Each test is one block of one subject; the order of the tests is the interleaving: ours, floor, peers, floor,
ours, peers, ... so that a noisy moment of the machine hits all of them, and ours comes before the floor as
often as behind it. A path's subjects are opened before its first block and closed after its last.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import pytest

from .operations import Operation, Samples, Seconds, Unavailable
from .results import GrowthPoint, PathResult, RunResults, SubjectResult
from .statistics import Summary
from .subjects import Effort, GrowthCurve, MeasuredPath, Subject
from .workshop import Workshop

WARM_UP = -1
"""The block that nobody looks at."""


@attrs.frozen(kw_only=True)
class Block:
    """One block of one subject on one path."""

    path: MeasuredPath
    subject: Subject
    place: int

    def __str__(self) -> str:
        which = "warm-up" if self.place == WARM_UP else f"block {self.place + 1}"
        return f"{self.path.id}, {which}, {self.subject.name}"


class BenchPlugin:
    """Runs `paths` and `curves`; `results` fills while they run."""

    def __init__(
        self,
        workshop: Workshop,
        paths: tuple[MeasuredPath, ...],
        curves: tuple[GrowthCurve, ...],
        blocks: int | None = None,
    ) -> None:
        self.results = RunResults()
        self._workshop = workshop
        self._paths = paths
        self._curves = curves
        self._blocks = blocks
        self._stage = _Stage(workshop, self.results)

    def effort(self, path: MeasuredPath, subject: Subject | None = None) -> Effort:
        """How much of a path, or of one of its subjects, is measured in this run."""
        effort = path.quick if self._workshop.sizes.quick else path.full
        if self._blocks is not None:
            effort = attrs.evolve(effort, blocks=self._blocks)
        return effort.within(subject.at_most if subject is not None else None)

    def blocks(self) -> Iterator[Block]:
        """All blocks in the order in which they run."""
        for path in self._paths:
            for place in range(WARM_UP if path.warm_up else 0, self.effort(path).blocks):
                for subject in path.turn(place):
                    if place < self.effort(path, subject).blocks:
                        yield Block(path=path, subject=subject, place=place)

    def growth_points(self) -> Iterator[tuple[GrowthCurve, int]]:
        """All curves at all sizes."""
        for curve in self._curves:
            for size in curve.sizes:
                if size <= self._workshop.sizes.largest:
                    yield curve, size

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per block, one per point of a curve."""
        if "block" in metafunc.fixturenames:
            metafunc.parametrize("block", list(self.blocks()), ids=str)
        if "growth_point" in metafunc.fixturenames:
            points = list(self.growth_points())
            metafunc.parametrize(
                "growth_point", points, ids=[f"{curve.id}, {size} {curve.of}" for curve, size in points]
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_group_stats(self) -> list[Any]:
        """Keep pytest-benchmark's own table out: one line per block, without percentiles, helps nobody."""
        return []

    @pytest.fixture
    def measure(self, benchmark: Any) -> Any:
        """Run one block and keep its samples."""

        def run(block: Block) -> None:
            effort = self.effort(block.path, block.subject)
            started = perf_counter()
            operation = self._stage.operation(block)
            path = self.results.paths[block.path.id]
            result = path.subjects[block.subject.name]
            if operation is None or result.unavailable is not None:
                pytest.skip(result.unavailable or "unavailable")
            rounds = max(1, effort.rounds // 4) if block.place == WARM_UP else effort.rounds
            try:
                if block.subject.before_block is not None:
                    block.subject.before_block(self._workshop)
                path.prepared_s += perf_counter() - started
                started = perf_counter()
                samples = take(benchmark, operation, rounds)
                if block.place != WARM_UP:
                    result.blocks.append(samples)
                if block.place == effort.blocks - 1:
                    result.facts = dict(operation.facts())
                path.measured_s += perf_counter() - started
            except BaseException as failure:
                result.fail(failure)
                raise

        return run

    @pytest.fixture
    def measure_growth(self, benchmark: Any) -> Any:
        """Run ours at one size and keep its figures."""

        def run(curve: GrowthCurve, size: int) -> None:
            self._stage.clear()
            point = GrowthPoint(id=curve.id, of=curve.of, size=size, summary=None)
            self.results.growth.append(point)
            rounds = curve.quick_rounds if self._workshop.sizes.quick else curve.rounds
            try:
                with curve.open(self._workshop, size) as operation:
                    point.summary = Summary.of([take(benchmark, operation, rounds)])
                    point.facts = dict(operation.facts())
            except Unavailable as why:
                point.unavailable = str(why)
                pytest.skip(str(why))

        return run

    def pytest_sessionfinish(self) -> None:
        """Close the subjects of the last path."""
        self._stage.clear()


def take(benchmark: Any, operation: Operation, rounds: int) -> Seconds:
    """So many samples of an operation, through pytest-benchmark."""
    if isinstance(operation, Samples):
        taken: Seconds = benchmark.pedantic(operation.sample, args=(rounds,), rounds=1, iterations=1)
        return np.asarray(taken, np.float64)
    arguments = operation.arguments
    benchmark.pedantic(
        operation.call,
        setup=lambda: (arguments(), {}),
        teardown=operation.afterwards,
        rounds=rounds,
        iterations=1,
    )
    return np.array(benchmark.stats.stats.data, np.float64)


class _Stage:
    """The opened subjects of the path that is being measured."""

    def __init__(self, workshop: Workshop, results: RunResults) -> None:
        self._workshop = workshop
        self._results = results
        self._path: MeasuredPath | None = None
        self._stack = ExitStack()
        self._operations: dict[str, Operation | None] = {}

    def operation(self, block: Block) -> Operation | None:
        """The subject's operation; None when it is unavailable."""
        if self._path is not block.path:
            self.clear()
            self._path = block.path
            result = PathResult(id=block.path.id, items=block.path.items)
            for subject in block.path.subjects:
                result.subjects[subject.name] = SubjectResult(
                    name=subject.name, role=subject.role, note=subject.note
                )
            self._results.paths[block.path.id] = result
        name = block.subject.name
        if name not in self._operations:
            self._operations[name] = self._open(block.subject)
        return self._operations[name]

    def clear(self) -> None:
        """Close the subjects."""
        self._operations.clear()
        self._path = None
        self._stack.close()

    def _open(self, subject: Subject) -> Operation | None:
        assert self._path is not None
        result = self._results.paths[self._path.id].subjects[subject.name]
        missing = [name for name in subject.needs if importlib.util.find_spec(name) is None]
        if missing:
            result.unavailable = f"not installed: {', '.join(missing)}"
            return None
        opening: AbstractContextManager[Operation] = subject.open(self._workshop)
        try:
            return self._stack.enter_context(opening)
        except Unavailable as why:
            result.unavailable = str(why)
            return None
        except BaseException as failure:
            self._operations[subject.name] = None
            result.fail(failure)
            raise
