"""What a provision would take: as JSON, and as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from .output import in_words, write_json, write_line, write_table

if TYPE_CHECKING:
    from ...domain.intake.mosaic import Mosaic, ZoomEstimate
    from ...domain.ports.imagery_source import ImageryFacts


@attrs.frozen(eq=False)
class ProvisionPlan:
    """The sources of a provision, and what lies in them at each zoom."""

    mosaic: Mosaic
    estimates: Sequence[ZoomEstimate]
    outside_area: Mapping[str, int]
    """What of the files of the area is no ground, by kind."""

    @property
    def places(self) -> int:
        """The places that a source lists."""
        return sum(one.found for one in self.estimates)

    def left_out(self) -> dict[str, int]:
        """What lies in the sources and is no tile, by source and kind; complete when they are read."""
        return {
            f"{source.name}: {kind}": count
            for source in self.mosaic.sources
            for kind, count in sorted(source.facts.left_out.items())
        }

    def facts(self) -> dict[str, Any]:
        """The plan as JSON shows it."""
        return {
            "sources": _source_facts(self.mosaic),
            "left_out_of_area": dict(self.outside_area),
            "estimate": _estimate_facts(self.estimates),
        }

    def show(self, *, replaces: bool = False, as_json: bool) -> None:
        """Print the plan; `replaces`: it takes the places of stored tiles that have newer imagery here."""
        replaced_at_most = sum(one.present for one in self.estimates) if replaces else 0
        if as_json:
            write_json(self.facts() | {"replaced_at_most": replaced_at_most})
            return
        self.write_dates()
        write_left_out(self.left_out())
        _write_estimate(self.estimates)
        if replaced_at_most:
            write_line(
                f"of those in the store up to {replaced_at_most} are replaced, by newer imagery; "
                "what that takes is not in these figures"
            )

    def write_dates(self) -> None:
        """A line for each source that says when it was captured."""
        for source in self.mosaic.sources:
            if (date := _date_of(source.facts)) is not None:
                found = source.facts.captured_at_from
                doubt = " (often when the file was made)" if source.facts.captured_at_is_the_files else ""
                where = f", in {found}" if found else ""
                write_line(f"{source.name} says that it was captured at {date}{where}{doubt}")

    def write_not_in_sources(self) -> None:
        """How many places of the area no source lists; nothing where there are none, or no area."""
        wanted = sum(one.wanted or 0 for one in self.estimates)
        missing = sum(one.wanted - one.found for one in self.estimates if one.wanted is not None)
        if missing:
            write_line(f"{missing} of {wanted} places of the area are in no source")


def write_left_out(left_out: Mapping[str, int]) -> None:
    """A line for each kind of what is no tile."""
    for kind, count in left_out.items():
        write_line(f"left out: {count} x {kind}")


def _source_facts(mosaic: Mosaic) -> list[dict[str, Any]]:
    """Name, format, zooms and what is left out of each source, in their order."""
    return [
        {
            "name": source.name,
            "kind": source.facts.kind,
            "zooms": list(source.zooms()),
            "attribution": source.facts.attribution,
            "licence": source.facts.licence,
            "captured_at": _date_of(source.facts),
            "captured_at_from": source.facts.captured_at_from,
            "captured_at_is_the_files": source.facts.captured_at_is_the_files,
            "left_out": dict(sorted(source.facts.left_out.items())),
        }
        for source in mosaic.sources
    ]


def _date_of(facts: ImageryFacts) -> str | None:
    return None if facts.captured_at is None else facts.captured_at.isoformat()


def _estimate_facts(estimates: Sequence[ZoomEstimate]) -> list[dict[str, Any]]:
    """The estimate of each zoom."""
    return [
        {
            "zoom": one.zoom_level,
            "wanted": one.wanted,
            "found": one.found,
            "present": one.present,
            "new": one.found - one.present,
            "bytes": one.disk_bytes,
            "footprint_bytes": one.footprint_bytes,
            "seconds": round(one.seconds, 1),
        }
        for one in estimates
    ]


def _write_estimate(estimates: Sequence[ZoomEstimate]) -> None:
    """A table with a row for each zoom, and their sum."""
    rows: list[tuple[Any, ...]] = [
        (str(one.zoom_level), one.wanted, one.found, one.present, in_words(one.disk_bytes))
        for one in estimates
    ]
    wanted = None if estimates[0].wanted is None else sum(one.wanted or 0 for one in estimates)
    rows.append(
        (
            "all",
            wanted,
            sum(one.found for one in estimates),
            sum(one.present for one in estimates),
            in_words(sum(one.disk_bytes for one in estimates)),
        )
    )
    write_table(("zoom", "places of the area", "in the sources", "in the store", "to come, about"), rows)
    write_line(
        f"on the disk about {in_words(sum(one.footprint_bytes for one in estimates))}; "
        f"reading takes about {sum(one.seconds for one in estimates):.0f} s"
    )
