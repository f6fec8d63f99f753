"""Go or no-go for a flight, as the map page asks: the judgement of `aerotile ready`; no store is opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...domain.lookups.recorded_index import RecordsLater
from ..config.settings import AerotileConfig
from ..input_files.area_files import parse_route
from ..input_files.errors import InputFileError
from ..input_files.quantities import parse_corridor, parse_flight_speed, parse_zooms
from ..map_page.supply import AskedFlight, PlannedFlight
from .flight_plans import plan_flight
from .readiness_parts import ReadinessParts

if TYPE_CHECKING:
    from datetime import datetime

    from ...domain.values.catalogue_entries import CatalogueColumns
    from ...domain.values.tile_key import VariantTable
    from ..postgres.connection import Database

MOST_TILES = 1_000_000
"""Of a flight that the page judges: `aerotile ready` takes more, in a process of its own."""


def planned(asked: AskedFlight, now: datetime) -> PlannedFlight:
    """The flight that a browser asks for. Raises `ValueError` in one line that names what is wrong."""
    try:
        plan, files = plan_flight(
            [(name, parse_route(content, name)) for name, content in asked.files],
            half_width_m=parse_corridor(asked.corridor),
            zooms=parse_zooms(asked.zooms),
            take_off=asked.take_off,
            speed_m_s=None if asked.speed is None else parse_flight_speed(asked.speed),
            now=now,
            most_tiles=MOST_TILES,
        )
    except InputFileError as error:
        raise ValueError(error.explained) from error
    return PlannedFlight(plan, files)


class ReadinessReader(ReadinessParts):
    """Everything that a flight needs, as it is now: base, index, sectors and rules are opened anew.

    It has the database of the page, so that it neither starts nor ends a server.
    """

    def __init__(
        self, config: AerotileConfig, recorder: RecordsLater, database: Callable[[], Database]
    ) -> None:
        super().__init__(config)
        self._recorder = recorder
        self._shared_database = database

    @cached_property
    def recorder(self) -> RecordsLater:
        """The page's."""
        return self._recorder

    @cached_property
    def database(self) -> Database:
        """The page's."""
        return self._shared_database()

    def _opened_catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """The facts of the store's tiles, ascending by key; nothing is reconciled for it."""
        columns, variants = self.rows.catalogue()
        return columns.at(np.argsort(columns.keys)), variants
