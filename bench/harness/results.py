"""What a run gathered, before anybody judges it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .operations import Facts, Seconds
from .statistics import Summary
from .subjects import Role


@attrs.define(kw_only=True)
class SubjectResult:
    """One subject's samples on one path."""

    name: str
    role: Role
    note: str = ""
    blocks: list[Seconds] = attrs.Factory(list)
    facts: Facts = attrs.Factory(dict)
    unavailable: str | None = None
    """Why there are no figures."""

    def fail(self, failure: BaseException) -> None:
        """Keep no figures of a subject that failed, only how."""
        self.blocks.clear()
        first, *_ = str(failure).splitlines() or [""]
        self.unavailable = f"failed: {type(failure).__name__}: {first}"

    @property
    def summary(self) -> Summary | None:
        """The figures; None when there is no sample."""
        return Summary.of(self.blocks) if self.blocks else None


@attrs.define(kw_only=True)
class PathResult:
    """All subjects of one path."""

    id: str
    items: int = 1
    subjects: dict[str, SubjectResult] = attrs.Factory(dict)
    prepared_s: float = 0.0
    """What the opening of its subjects and the page cache took of the run."""
    measured_s: float = 0.0
    """What its blocks took of the run, with the arguments of their calls, and its facts."""

    def of_role(self, role: Role) -> Iterable[SubjectResult]:
        """The subjects that are that to the verdict, in the order of their declaration."""
        return [subject for subject in self.subjects.values() if subject.role is role]

    @property
    def ours(self) -> SubjectResult | None:
        """Ours."""
        return next(iter(self.of_role(Role.OURS)), None)

    @property
    def floor(self) -> SubjectResult | None:
        """The floor that the ratio is of: the first that is declared."""
        return next(iter(self.of_role(Role.FLOOR)), None)


@attrs.define(kw_only=True)
class GrowthPoint:
    """One path at one size."""

    id: str
    of: str
    size: int
    summary: Summary | None
    facts: Facts = attrs.Factory(dict)
    unavailable: str | None = None


@attrs.define(kw_only=True)
class RunResults:
    """Everything that was measured in one run."""

    paths: dict[str, PathResult] = attrs.Factory(dict)
    growth: list[GrowthPoint] = attrs.Factory(list)
