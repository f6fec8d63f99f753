"""What is measured: paths of the target table, and the subjects that run beside each other on each.

A path names its subjects once, statically; each is opened when its path is measured, over data that all
subjects of the path share. `operations` says how a subject is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import TYPE_CHECKING

import attrs

from .operations import Operation

if TYPE_CHECKING:
    from .workshop import Workshop


class Role(str, Enum):
    """What a subject is to the verdict."""

    OURS = "ours"
    FLOOR = "floor"
    """The physical limit; the ratio of the target is ours to this."""
    PEER = "peer"
    """Another way that people use today; must be behind where the target says so."""
    REFERENCE = "reference"
    """Shown beside the others and judged by nobody: parts of a path, other settings, moonshots."""


@attrs.frozen(kw_only=True)
class Subject:
    """One contender on one path."""

    name: str
    role: Role
    open: Callable[[Workshop], AbstractContextManager[Operation]]
    """Prepares, yields the operation, and tidies up; raises `Unavailable` when it can't run here."""
    needs: tuple[str, ...] = ()
    """Modules that must be importable; a subject that lacks one is reported as not installed."""
    note: str = ""
    """What it does not do that ours does, and the settings it runs with."""
    before_block: Callable[[Workshop], object] | None = None
    """Called before each block, outside the timing."""
    at_most: Effort | None = None
    """The bounds of its part of the path's effort, where it is slow and far behind; None: all of it."""


@attrs.frozen(kw_only=True)
class Effort:
    """How much is measured: `blocks` of `rounds` samples for each subject."""

    blocks: int
    rounds: int

    def within(self, bounds: Effort | None) -> Effort:
        """The lesser of each."""
        if bounds is None:
            return self
        return Effort(blocks=min(self.blocks, bounds.blocks), rounds=min(self.rounds, bounds.rounds))


@attrs.frozen(kw_only=True)
class MeasuredPath:
    """One row of the table: which target it answers, who takes part, and how long it is measured."""

    id: str
    """The row's id in `targets.TARGETS`."""
    subjects: tuple[Subject, ...]
    full: Effort
    quick: Effort
    items: int = 1
    """How many things one sample handles, where a rate says more than a time."""
    warm_up: bool = True
    """Whether a block that nobody looks at comes first; not where a sample takes minutes."""

    def __attrs_post_init__(self) -> None:
        names = [subject.name for subject in self.subjects]
        if len(set(names)) != len(names):
            raise ValueError(f"two subjects of {self.id} have one name: {names!r}")
        if [subject.role for subject in self.subjects].count(Role.OURS) != 1:
            raise ValueError(f"{self.id} needs exactly one subject of ours")

    def turn(self, place: int) -> tuple[Subject, ...]:
        """The subjects in the order of that turn: the first two change places from turn to turn."""
        first, *others = self.subjects
        if place % 2 == 0 or not others:
            return self.subjects
        return (others[0], first, *others[1:])


@attrs.frozen(kw_only=True)
class GrowthCurve:
    """One path over sizes: `open(workshop, size)` gives ours over a store, grid or index of that size."""

    id: str
    of: str
    """What grows: "tiles", "sectors", "descriptors"."""
    sizes: tuple[int, ...]
    open: Callable[[Workshop, int], AbstractContextManager[Operation]]
    rounds: int = 2000
    quick_rounds: int = 300
