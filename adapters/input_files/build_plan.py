"""The plan of a build: a TOML file that says of what a base is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ...domain.values.pictures import check_headings
from ...domain.values.tile_grid import MAX_ZOOM
from ...domain.values.timestamps import read_time
from ..files.regular_file import read_regular
from .area_files import parse_boxes
from .errors import InputFileError
from .quantities import parse_distance
from .tile_scheme import TileScheme

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 1 << 20
DEFAULT_BATCH, _MOST_BATCH = 32, 256
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class DatasetPlan:
    """The table `[dataset]`; source and digest come from the plan's sources."""

    name: str
    licence: str
    attribution: str
    may_be_stored_offline: bool
    captured_from: str


@attrs.frozen(kw_only=True)
class DescribePlan:
    """The table `[describe]`."""

    model: Path | None = None
    callable: str | None = None
    """Neither: the network of the configuration."""
    headings: tuple[int, ...] | None = None
    """None: those of the network."""
    batch: int = DEFAULT_BATCH


@attrs.frozen(kw_only=True)
class BuildPlan:
    """What a plan says; its paths are absolute."""

    file: Path
    sources: tuple[str, ...]
    """The best first."""
    zooms: tuple[int, ...] = ()
    """None: those of the sources."""
    area: tuple[str | Path, ...] = ()
    """Drawings and boxes; none: everywhere."""
    corridor_m: float | None = None
    captured_at: datetime | None = None
    scheme: str | None = None
    enlarge: bool = False
    partial: bool = False
    sectors: tuple[Path, ...] = ()
    work: Path
    dataset: DatasetPlan | None = None
    describe: DescribePlan | None = None


def read_build_plan(path: Path) -> BuildPlan:
    """Read a plan. Raises `InputFileError`, also with the key that is wrong."""
    try:
        document = tomllib.loads(read_regular(path, _MAX_BYTES, follow=True).decode("utf-8-sig"))
    except OSError as error:
        raise InputFileError(
            f"{path} can't be read: {error.strerror}", remedy="name the plan's file, or mend its disk"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path} is not TOML: {error}", remedy="correct the file's syntax") from error
    table = _Table(path, "", document)
    sources = table.taken("sources", _texts)
    if not sources:
        raise InputFileError(f"{path} names no sources", remedy='write sources = ["ortho.tif"]')
    if any("://" in name for name in sources):  # which may hold a token, so it is not shown
        raise InputFileError(
            f"{path}: sources: one is an address, and a build takes files and folders",
            remedy="bring its tiles into a store with aerotile provision, and aerotile export them",
        )
    area = table.taken("area", _areas) or ()
    dataset, describe = table.inner("dataset"), table.inner("describe")
    plan = BuildPlan(
        file=path,
        sources=tuple(str(table.beside(name)) for name in sources),
        zooms=table.taken("zooms", _zooms) or (),
        area=tuple(name if _is_box(name) else table.beside(name) for name in area),
        corridor_m=table.taken("corridor", lambda value: parse_distance(_text(value))),
        captured_at=table.taken("captured_at", _moment),
        scheme=table.taken("scheme", lambda value: TileScheme(value).value),
        enlarge=table.taken("enlarge", _flag) or False,
        partial=table.taken("partial", _flag) or False,
        sectors=tuple(table.beside(name) for name in table.taken("sectors", _texts) or ()),
        work=table.beside(table.taken("work", _text) or f"{path.stem}.work"),
        dataset=None if dataset is None else _dataset(dataset),
        describe=None if describe is None else _describe(describe),
    )
    table.refuse_others()
    for key, names in (("area", plan.area), ("sectors", plan.sectors)):
        for name in names:
            if isinstance(name, Path) and not name.is_file():
                raise InputFileError(f"{path}: {key}: there is no file {name}", remedy="correct the plan")
    if plan.corridor_m is not None and not plan.area:
        raise InputFileError(
            f"{path}: corridor goes along a line, and no area is given", remedy="write area, or remove it"
        )
    if plan.enlarge and not plan.zooms:
        raise InputFileError(f"{path}: enlarge makes finer zooms, and none is given", remedy="write zooms")
    return plan


def _dataset(table: _Table) -> DatasetPlan:
    plan = DatasetPlan(
        name=table.needed("name", _text),
        licence=table.needed("licence", _text),
        attribution=table.needed("attribution", _text),
        may_be_stored_offline=table.needed("may_be_stored_offline", _flag),
        captured_from=table.needed("captured_from", _text),
    )
    table.refuse_others()
    return plan


def _describe(table: _Table) -> DescribePlan:
    model = table.taken("model", _text)
    plan = DescribePlan(
        model=None if model is None else table.beside(model),
        callable=table.taken("callable", _text),
        headings=table.taken("headings", check_headings),
        batch=table.taken("batch", _batch) or DEFAULT_BATCH,
    )
    table.refuse_others()
    if plan.model is not None and plan.callable is not None:
        raise InputFileError(
            f"{table.path}: describe.model and describe.callable name two networks", remedy="leave one out"
        )
    return plan


@attrs.frozen
class _Table:
    """A table whose keys are taken one by one, so that a misspelt one is found."""

    path: Path
    prefix: str
    rest: dict[str, Any]

    def taken(self, key: str, read: Callable[[Any], T]) -> T | None:
        """The value of a key; None where it is not there."""
        if key not in self.rest:
            return None
        value = self.rest.pop(key)
        try:
            return read(value)
        except (TypeError, ValueError) as error:
            raise InputFileError(
                f"{self.path}: {self.prefix}{key}: {error}", remedy="correct the plan"
            ) from error

    def needed(self, key: str, read: Callable[[Any], T]) -> T:
        """The value of a key that must be there."""
        value = self.taken(key, read)
        if value is None:
            raise InputFileError(f"{self.path} lacks {self.prefix}{key}", remedy="add it to the plan")
        return value

    def inner(self, key: str) -> _Table | None:
        """A table in this one."""
        value = self.rest.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InputFileError(f"{self.path}: {key} must be a table", remedy=f"write [{key}]")
        return _Table(self.path, f"{key}.", dict(value))

    def beside(self, name: str) -> Path:
        """A path of the plan: relative ones begin in its folder."""
        return self.path.absolute().parent / name

    def refuse_others(self) -> None:
        """Raise `InputFileError` for a key that no setting took."""
        for key in self.rest:
            raise InputFileError(
                f"{self.path}: there is no {self.prefix}{key} in a plan", remedy="correct or remove it"
            )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, got {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"must be a list of texts, got {value!r}")
    return tuple(map(_text, value))


def _areas(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    if not found:  # which would mean everywhere
        raise ValueError("must name an area; without the key the build goes everywhere")
    return found


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, got {value!r}")
    return value


def _zooms(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of whole numbers, got {value!r}")
    for zoom in value:
        if type(zoom) is not int or not 0 <= zoom <= MAX_ZOOM:
            raise ValueError(f"zooms lie within 0..{MAX_ZOOM}, got {zoom!r}")
    return tuple(sorted(set(value)))


def _batch(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_BATCH:
        raise ValueError(f"must be a whole number within 1..{_MOST_BATCH}, got {value!r}")
    return value


def _moment(value: Any) -> datetime:
    return read_time(value.isoformat() if isinstance(value, (date, datetime)) else _text(value))


def _is_box(text: str) -> bool:
    try:
        return parse_boxes(text) is not None
    except ValueError:  # numbers that are no box: the area is refused by them
        return True
