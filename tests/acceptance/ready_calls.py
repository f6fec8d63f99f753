"""The flight that `aerotile ready` is asked about, and what its answers name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cli_calls import Call

from aerotile.domain.readiness.flight_plan import FlightPlan, wanted_tiles
from aerotile.domain.values.routes import Route

Place = tuple[int, int, int]


POINTS = [(11.0, 48.0), (11.3, 48.1), (11.4, 48.3)]


NOW = datetime.now(timezone.utc).replace(microsecond=0)


READY = ["ready", "--route", "route.gpx", "--corridor", "2km", "--zoom", "10-11"]


def gpx(points: list[tuple[float, float]], times: list[datetime] | None = None) -> str:
    stamps = [""] * len(points) if times is None else [f"<time>{time.isoformat()}</time>" for time in times]
    marks = [f'<rtept lat="{y}" lon="{x}">{s}</rtept>' for (x, y), s in zip(points, stamps, strict=True)]
    return f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><rte>{"".join(marks)}</rte></gpx>'


def places_of(points: list[tuple[float, float]], half_width_m: float, zooms: tuple[int, ...]) -> list[Place]:
    wanted = wanted_tiles(FlightPlan(Route(points), half_width_m, zooms, NOW))
    columns = (wanted.zoom, wanted.x, wanted.y)
    return sorted(set(zip(*(column.tolist() for column in columns), strict=True)))


def tile(place: Place) -> str:
    return "imported/" + "/".join(map(str, place))


def named(facts: Any) -> dict[str, set[Place]]:
    """Every faulty tile of an answer, by what is wrong with it."""
    found: dict[str, set[Place]] = {}
    for leg in facts["legs"]:
        for zoom in leg["zooms"]:
            for fault in zoom["faults"]:
                tiles = [each for text in fault["places"] for each in expanded(text)]
                assert len(tiles) == fault["tiles"]
                found.setdefault(fault["what"], set()).update(tiles)
    return found


def expanded(text: str) -> Iterator[Place]:
    zoom, columns, y = text.split("/")
    first, _, last = columns.partition("-")
    for x in range(int(first), int(last or first) + 1):
        yield int(zoom), x, int(y)


def turning_stale(call: Call, place: Place) -> datetime:
    """When a stored tile is too old for ground in no sector."""
    rows = {row["tile"]: row["captured_at"] for row in call("dump", "--json").json_lines}
    return datetime.fromisoformat(rows[tile(place)]) + timedelta(days=365)


def stored_file(place: Place) -> Path:
    return Path("aerotile-data/tiles", f"{tile(place)}.jpg")


def damage(path: Path, position: int = 300) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.unlink()
    path.write_bytes(content)
