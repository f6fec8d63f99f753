"""Degrees as texts and numbers of foreign files, read by the rules of GeoJSON's positions."""

from __future__ import annotations

from ....domain.values.number_texts import read_decimal
from ....domain.values.tile_grid import Point
from ...geojson_shapes import read_position


def point_of(lon: object, lat: object) -> Point:
    """A place; texts are read as numbers. Raises `ValueError` for what is none, such as metres."""
    return read_position([_number(lon), _number(lat)])


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return read_decimal(value.strip())
    except ValueError:
        raise ValueError(f"{value[:40]!r} is no number of degrees") from None
