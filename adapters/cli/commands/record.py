"""`aerotile record`."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ....domain.values.counted import counted
from ....domain.values.visible_text import visible
from ..arguments import EXISTING_FILE, moment
from ..command import command
from ..errors import BadInputError, one_line
from ..lookup_explained import explain_lookups
from ..new_files import check_new_file
from ..option_groups import gather
from ..output import flush_output, warn_of_damage, write_json_line, write_line
from ..session import Session

if TYPE_CHECKING:
    from ...recorder.line_format import RecordLine
    from ...recorder.reader import RecordFilter

_SEVERITIES = ("info", "warning", "error")


@attrs.frozen
class _FilterOptions:
    """Which events a person wants to see."""

    kinds: tuple[str, ...]
    severity: str
    since: datetime | None
    until: datetime | None

    def read(self) -> RecordFilter:
        """What the options say. Raises `BadInputError` for a range that ends before it begins.

        A kind that is none of this program's is said, and not refused: a record may be of a newer one.
        """
        from ....domain.flight_events import EventKind, Severity
        from ...recorder.reader import RecordFilter

        since, until = self.since, self.until
        if since is not None and until is not None and since > until:
            raise BadInputError(
                f"--since {since.isoformat()} is after --until {until.isoformat()}", remedy="exchange them"
            )
        for pattern in self.kinds:
            if not fnmatch.filter([kind.value for kind in EventKind], pattern):
                click.echo(f"warning: this program knows no kind {visible(pattern)}", err=True)
        return RecordFilter(
            kinds=self.kinds, minimum_severity=Severity(self.severity), since=since, until=until
        )


@command(
    "aerotile record --severity warning",
    "aerotile record --kind 'c6.freshness.*' --since 2024-05-01T06:00:00Z --json",
    "aerotile record --mcap flight.mcap --sectors sectors.geojson --layout layout.json",
    "aerotile record --lookup 17",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="PATTERN",
    help="Only this kind, e.g. 'c6.freshness.*'; may be given again.",
)
@click.option("--severity", type=click.Choice(_SEVERITIES), default="info", help="This severity or higher.")
@click.option("--since", type=moment, metavar="DATE", help="Not before this time.")
@click.option("--until", type=moment, metavar="DATE", help="Not after this time.")
@click.option("--lookup", "asked", metavar="N", help="Explain this lookup alone: its number, or RUN-NUMBER.")
@click.option("--follow", is_flag=True, help="Then print new events as they are recorded, until Ctrl-C.")
@click.option(
    "--mcap",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the events to a new MCAP file instead, with fixes, used tiles and a log for Foxglove.",
)
@click.option(
    "--sectors",
    "sector_files",
    type=EXISTING_FILE,
    multiple=True,
    metavar="FILE",
    help="With --mcap: sectors to draw, as sectors load reads them; may be given again.",
)
@click.option(
    "--layout",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --mcap: write a layout for Foxglove too, to a new file.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the events as JSON lines, as they were recorded."
)
@click.pass_obj
@gather("filters", _FilterOptions)
def record(
    session: Session,
    filters: _FilterOptions,
    asked: str | None,
    follow: bool,
    target: Path | None,
    sector_files: tuple[Path, ...],
    layout: Path | None,
    as_json: bool,
) -> None:
    """Read the flight record: filter it, follow it, explain a lookup, or export it to MCAP.

    Events of kinds that this program does not know yet are shown unchanged. Lines that a power cut tore are
    skipped and counted.
    """
    from ...clocks import SystemClock
    from ...recorder.reader import RecordReader

    if follow and target is not None:
        raise click.UsageError("--follow and --mcap exclude each other")
    if target is None and (sector_files or layout is not None):
        raise click.UsageError("--sectors and --layout are for --mcap")
    if target is not None and layout is not None and target.resolve() == layout.resolve():
        raise click.UsageError("--mcap and --layout name the same file")
    for new in (target, layout):
        if new is not None:
            check_new_file(new, session.config)
    matching = filters.read()
    if asked is not None and (follow or target is not None):
        raise click.UsageError("--lookup excludes --follow and --mcap")
    folder = session.existing_config("record").record_folder
    if not folder.is_dir():
        raise BadInputError(f"no flight record in {folder}", remedy="the record begins with the first write")
    reader = RecordReader(folder)
    if asked is not None:
        explain_lookups(reader.lines(matching), asked, as_json=as_json)
    elif target is not None:
        _export(reader.lines(matching), target, sector_files, layout, as_json=as_json)
    elif follow:
        for line in reader.follow(matching, clock=SystemClock(), stopped=lambda: False):
            _print(line, as_json=as_json)
            flush_output()
    else:
        for line in reader.lines(matching):
            _print(line, as_json=as_json)
    warn_of_damage(reader)


def _export(
    lines: Iterable[RecordLine],
    target: Path,
    sector_files: tuple[Path, ...],
    layout: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write the lines to an MCAP file, and a layout for Foxglove if one is wanted."""
    from ...input_files.sector_files import read_sectors
    from ...recorder.foxglove_layout import write_layout
    from ...recorder.mcap_export import export_mcap

    drawn = read_sectors(*sector_files)
    count = export_mcap(lines, target, drawn.sectors)
    if layout is not None:
        write_layout(layout)
    facts = {"file": str(target), "events": count, "without_geometry": list(drawn.without_geometry)}
    if as_json:
        write_json_line(facts)
    else:
        for name in drawn.without_geometry:
            write_line(f"{visible(name)} has no geometry and was left out")
        write_line(f"{counted(count, 'event')} in {target}")


def _print(line: RecordLine, *, as_json: bool) -> None:
    if as_json:
        write_line(line.json.decode())
        return
    envelope = line.envelope
    moment_text = envelope.wall_time.isoformat(timespec="milliseconds")
    payload = " ".join(f"{name}={_value(value)}" for name, value in envelope.payload.items())
    write_line(one_line(f"{moment_text} {envelope.severity:<7} {envelope.kind} {envelope.reason} {payload}"))


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
