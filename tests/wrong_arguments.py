"""Calls with one argument of a wrong type, made from the annotations of the public API."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import attrs
import numpy as np

from aerotile.domain.errors import AerotileError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.values.areas import Area
from aerotile.domain.values.datasets import Dataset, DigestOf
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, IndexKind, VectorStorage
from aerotile.domain.values.lookups import PositionFix
from aerotile.domain.values.sectors import SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileSource,
    VotingStatus,
)
from aerotile.domain.values.upload_reports import UploadRequest

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TILE = TileId(5, 1, 2, TileSource.IMPORTED)
METADATA = TileMetadata(
    tile_id=TILE, captured_at=NOW, content_sha256="0" * 64, disk_bytes=300, ground_sample_distance=2.5
)
BOX = Bbox(1, 2, 3, 4)
TRIANGLE = [(1.0, 2.0), (3.0, 4.0), (5.0, 7.0)]
DATASET = Dataset(
    name="map",
    licence="CC0",
    attribution="nobody",
    may_be_stored_offline=True,
    source="map.tif",
    source_sha256="0" * 64,
    digest_of=DigestOf.FILE,
    captured_from="the file",
)
DIMENSION = 4
QUERY = np.ones(DIMENSION, np.float32)

RIGHT: dict[str, Any] = {
    "Pictures": np.zeros((1, 16, 16, 3), np.uint8),
    "Area": Area([BOX]),
    "Bbox": BOX,
    "Bbox | Polygon | MultiPolygon": BOX,
    "Callable[[BatchProgress], None]": print,
    "Callable[[], bool]": bool,
    "Dataset": DATASET,
    "DescriptorMetric": DescriptorMetric.L2,
    "IndexKind": IndexKind.HNSW,
    "DigestOf": DigestOf.FILE,
    "EventKind": EventKind.WRITE,
    "FreshnessLabel": FreshnessLabel.FRESH,
    "HnswParams": HnswParams(),
    "Iterable[Iterable[Point]]": [TRIANGLE],
    "Iterable[Polygon]": [Polygon([TRIANGLE])],
    "Iterable[Shape]": [BOX],
    "Iterable[TileId]": [TILE],
    "Iterable[tuple[TileBytes, TileMetadata]]": [(b"x", METADATA)],
    "Mapping[TileId, datetime]": {TILE: NOW},
    "Mapping[str, Any]": {},
    "PositionFix": PositionFix(tile_id=TILE, lat=1, lon=1, fixed_at=NOW, error_m=1),
    "SectorClassification": SectorClassification.STABLE_REAR,
    "Sequence[TileId]": [TILE],
    "TileBytes": b"x",
    "TileId": TILE,
    "TileMetadata": METADATA,
    "TileSource": TileSource.IMPORTED,
    "TileSource | str": TileSource.IMPORTED,
    "UUID": UUID(int=1),
    "UploadRequest": UploadRequest(),
    "VariantTable": VariantTable(),
    "VectorStorage": VectorStorage.FLOAT16,
    "VotingStatus": VotingStatus.TRUSTED,
    "bool": True,
    "datetime": NOW,
    "float": 1.5,
    "int": 1,
    "npt.NDArray[np.float32]": QUERY,
    "str": "x",
    "timedelta": timedelta(days=1),
    "tuple[Point, ...]": TRIANGLE,
    "tuple[Shape, ...]": [BOX],
    "tuple[UUID, ...]": (),
    "tuple[tuple[Point, ...], ...]": [TRIANGLE],
    "tuple[Polygon, ...]": [Polygon([TRIANGLE])],
}
"""A right argument for each annotation of a parameter; an annotation that may be None has None."""

WRONG = (None, "x", 1.5, True, b"x", [], {}, object(), ["x"], [2.5], (b"x", METADATA), METADATA)
_TAKEN: dict[str, tuple[type, ...]] = {
    "float": (float,),
    "str": (str,),
    "bool": (bool,),
    "TileBytes": (bytes,),
    "Mapping[TileId, datetime]": (dict,),
    "Mapping[str, Any]": (dict,),
    "Mapping[str, str]": (dict,),
}
"""The types of wrong arguments that are right for an annotation."""
_HAS_ITEMS = ("Iterable[", "Sequence[", "tuple[")
_NAMED_BY_AN_ITEM = {"zooms": "zoom_level"}


@attrs.frozen
class Parameter:
    """A parameter of a call: its name and the text of its annotation."""

    name: str
    annotation: str


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """What a function takes beside itself; of a class the fields that its constructor takes."""
    if inspect.isclass(function) and attrs.has(function):
        fields = [field for field in attrs.fields(function) if field.init]
        return [Parameter(field.alias or field.name, str(field.type)) for field in fields]
    parameters = inspect.signature(function).parameters.values()
    return [Parameter(p.name, str(p.annotation)) for p in parameters if p.name not in ("self", "cls")]


def surprises(
    name: str, call: Callable[..., Any], parameters: list[Parameter], **examples: Any
) -> Iterator[str]:
    """The calls with one wrong argument that do anything but raise an error that names the parameter.

    `examples` has right arguments by parameter, for those that `RIGHT` has not.
    """
    right = {p.name: examples.get(p.name) if p.name in examples else _right(name, p) for p in parameters}
    for parameter in parameters:
        for wrong in WRONG:
            if not _is_right(parameter.annotation, wrong):
                outcome = _outcome(call, right | {parameter.name: wrong}, parameter.name)
                if outcome is not None:
                    yield f"{name}({parameter.name}={wrong!r:.20}): {outcome}"


def _right(name: str, parameter: Parameter) -> Any:
    if parameter.annotation.endswith("| None"):
        return None
    assert parameter.annotation in RIGHT, f"an example for {name}({parameter.name}: {parameter.annotation})"
    return RIGHT[parameter.annotation]


def _is_right(annotation: str, value: object) -> bool:
    plain = annotation.removesuffix(" | None")
    if value is None:
        return plain != annotation
    if plain.startswith(_HAS_ITEMS) and value in ([], {}):
        return True
    return isinstance(value, _TAKEN.get(plain, ())) or (plain == "TileMetadata" and value is METADATA)


def _outcome(call: Callable[..., Any], arguments: dict[str, Any], name: str) -> str | None:
    try:
        answer = call(**arguments)
        if inspect.isgenerator(answer):
            list(answer)
    except (TypeError, ValueError, AerotileError) as error:
        names = {name, _NAMED_BY_AN_ITEM.get(name, name)}
        if any(re.search(rf"\b{each}\b", str(error)) for each in names) and "\n" not in str(error):
            return None
        return f"{type(error).__name__}, which does not name it: {error}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {error}"
    return "accepted"


def methods_of(port: Any) -> list[str]:
    """The public methods of a class, those that it inherits included."""
    found = inspect.getmembers(port, lambda member: inspect.isroutine(member))
    return [name for name, _ in found if not name.startswith("_")]


def surprises_of(subject: Any, port: Any, **examples: Any) -> list[str]:
    """`surprises` of every method of a port, called on an object that implements it."""
    found: list[str] = []
    for name in methods_of(port):
        call = getattr(subject, name)
        full_name = f"{type(subject).__name__}.{name}"
        found += surprises(full_name, call, parameters_of(getattr(port, name)), **examples)
    return found
