"""What a flight needs: its route and diversions, a corridor, zooms, and when the aircraft is where."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import attrs
import numpy as np
import numpy.typing as npt

from ..values.catalogue_entries import Keys
from ..values.corridors import MAX_HALF_WIDTH_M, Discs, RowSpans, disc_spans, discs_along
from ..values.place_keys import place_keys
from ..values.routes import FASTEST_M_S, SLOWEST_M_S, Leg, Route
from ..values.tile_grid import MAX_LATITUDE, check_zoom
from ..values.validators import as_real, check_number

ASSUMED_SPEED_M_S = 10.0
"""Over ground, where neither the route nor the operator says it: slow, so that tiles count as older."""
MOST_TILES = 20_000_000
"""Of all legs together: 2 GB of memory."""
MOST_ROWS = 20_000_000
"""Of tiles, in the discs of all lines together: 4 GB of memory. Each point of a route has its own disc."""

Integers = npt.NDArray[np.int64]


def _zooms(zooms: Iterable[int]) -> tuple[int, ...]:
    checked = tuple(sorted(set(map(check_zoom, zooms))))
    if not checked:
        raise ValueError("a flight needs the tiles of one zoom or more, got none")
    return checked


@attrs.frozen
class PlannedLeg:
    """A leg of the route or of a diversion, and when the aircraft is over it."""

    route: str
    """The name of its route."""
    leg: Leg
    begins_at: datetime
    """When the aircraft is at its first point; over a diversion: when it is there at the latest."""
    ends_at: datetime
    """When it is at its last point. Tiles are judged as of this time: they only grow older."""
    is_diversion: bool
    """Whether it is no leg of the route itself."""


@attrs.frozen
class FlightPlan:
    """A flight to come. Raises `ValueError` for impossible numbers."""

    route: Route
    half_width_m: float = attrs.field(converter=as_real)
    """Of the corridor, to each side of every line, in metres."""
    zooms: tuple[int, ...] = attrs.field(converter=_zooms)
    """Which tiles the flight needs."""
    take_off: datetime
    """When the aircraft is at the first point of the route."""
    diversions: tuple[Route, ...] = ()
    """Where the aircraft may go instead, whenever it decides to."""
    speed_m_s: float | None = attrs.field(default=None, converter=as_real)
    """Over ground; it counts before the times and the speeds of the routes."""

    def __attrs_post_init__(self) -> None:
        check_number("half_width_m", self.half_width_m, 0.0, MAX_HALF_WIDTH_M)
        if self.speed_m_s is not None:
            check_number("speed_m_s", self.speed_m_s, SLOWEST_M_S, FASTEST_M_S)
        if self.take_off.tzinfo is None:
            raise ValueError(f"take_off must have an offset, got {self.take_off!r}")
        _ = self.legs()  # a time beyond the year 9999

    @property
    def pace(self) -> str:
        """Where the times over the legs come from, for a person."""
        if self.speed_m_s is not None:
            return f"at {self.speed_m_s:g} m/s, as given"
        if self.route.times:
            return "by the times of the route"
        if self.route.speed_m_s is not None:
            return f"at {self.route.speed_m_s:g} m/s, as the route says"
        return f"at {ASSUMED_SPEED_M_S:g} m/s, assumed: neither the route nor --speed says it"

    def legs(self) -> tuple[PlannedLeg, ...]:
        """The legs of the route, then those of each diversion.

        When the aircraft diverts is not known. A diversion counts as begun at the end of the route, the
        latest time there is. Raises `ValueError` for times that no calendar has.
        """
        name = self.route.name or "route"
        main = self._legs_of(self.route, name, self.take_off, ASSUMED_SPEED_M_S, is_diversion=False)
        pace = self.route.speed_m_s or ASSUMED_SPEED_M_S
        planned = list(main)
        for number, diversion in enumerate(self.diversions, 1):
            name = diversion.name or f"diversion {number}"
            planned += self._legs_of(diversion, name, main[-1].ends_at, pace, is_diversion=True)
        return tuple(planned)

    def _legs_of(
        self, route: Route, name: str, begins: datetime, pace: float, *, is_diversion: bool
    ) -> list[PlannedLeg]:
        if self.speed_m_s is not None:
            route = attrs.evolve(route, times=())
        legs = route.legs(self.speed_m_s or route.speed_m_s or pace)
        try:
            return [
                PlannedLeg(name, leg, begins + leg.begins, begins + leg.ends, is_diversion) for leg in legs
            ]
        except OverflowError as error:
            raise ValueError(f"the flight begins at {begins.isoformat()} and lasts too long") from error


@attrs.frozen(eq=False)
class WantedTiles:
    """The tiles that a flight needs; arrays of one length. A tile of several legs is there for each."""

    leg: Integers
    """The position of the leg in `FlightPlan.legs`."""
    zoom: Integers
    x: Integers
    y: Integers
    place: Integers
    """The position of the tile's place in `places`."""
    places: Keys
    """The key of each place, with the variant 0; ascending, each once."""

    def __len__(self) -> int:
        return len(self.leg)


def wanted_spans(plan: FlightPlan) -> list[RowSpans]:
    """The tiles of each zoom that share a point with the corridor; their owners are the legs.

    Raises `ValueError` for ground beyond the map, for more than `MOST_TILES`, and for so many points that
    they need `MOST_ROWS`.
    """
    discs = [discs_along(planned.leg.points, plan.half_width_m) for planned in plan.legs()]
    owner = np.repeat(np.arange(len(discs)), [len(each) for each in discs])
    joined = Discs.joined(discs)
    reach = float(np.degrees((np.abs(joined.lat) + joined.radius).max()))
    if reach > MAX_LATITUDE:  # ground that no tile can show would count as ready
        raise ValueError(
            f"the corridor reaches {reach:.4f} degrees of latitude, and no tile lies beyond "
            f"{MAX_LATITUDE:.4f}; give a route that stays on the map, or a narrower corridor"
        )
    spans, tiles = [], 0
    for zoom in plan.zooms:
        # Half the area of the disc of most tiles: spans of a far too wide corridor would fill the memory.
        least = tiles + int((np.pi * joined.radius**2 / _tile_sides(joined, zoom) ** 2).max() / 2)
        if least <= MOST_TILES:
            _refuse_too_many_rows(joined, zoom)
            spans.append(disc_spans(joined, owner, zoom))
            tiles += spans[-1].tiles
        if max(tiles, least) > MOST_TILES:
            raise ValueError(
                f"down to zoom {zoom} the corridor needs {max(tiles, least)} tiles or more, "
                f"{MOST_TILES} are the most; ask for fewer zooms or a narrower corridor"
            )
    return spans


def _tile_sides(discs: Discs, zoom: int) -> npt.NDArray[np.float64]:
    """The sides of the tiles at the discs' centres, in radians."""
    sides: npt.NDArray[np.float64] = 2 * np.pi * np.cos(discs.lat) / (1 << zoom)
    return sides


def _refuse_too_many_rows(discs: Discs, zoom: int) -> None:
    rows = int((np.minimum(2 * discs.radius / _tile_sides(discs, zoom), 1 << zoom) + 1).sum())
    if rows > MOST_ROWS:
        raise ValueError(
            f"at zoom {zoom} a corridor around so many points needs {rows} rows of tiles, {MOST_ROWS} are "
            "the most; leave out points of the route that lie close to each other, or ask for a narrower one"
        )


def wanted_tiles(plan: FlightPlan) -> WantedTiles:
    """The tiles that share a point with the corridor, leg by leg in each zoom. Raises as `wanted_spans`."""
    columns = []
    for zoom, spans in zip(plan.zooms, wanted_spans(plan), strict=True):
        leg, x, y = spans.cells()
        columns.append((leg, np.full(len(leg), zoom, np.int64), x, y, place_keys(zoom, x, y)))
    leg, level, x, y, keys = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    places, place = np.unique(keys, return_inverse=True)
    return WantedTiles(leg, level, x, y, place, places)


def overflown_tiles(plan: FlightPlan) -> int:
    """How many tiles of the zooms lie below the route itself, which the aircraft may make on its way."""
    discs = discs_along(plan.route.points, 0.0)
    owner = np.zeros(len(discs), np.int64)
    return sum(disc_spans(discs, owner, zoom).tiles for zoom in plan.zooms)
