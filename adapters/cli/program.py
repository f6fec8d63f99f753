"""The table of commands, and how a run of the program ends.

Only click and the standard library are imported here: `aerotile --help` has to be quick.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from . import errors
from .command import LazyGroup, shared_options
from .output import abandon_output, flush_output, prepare_output
from .session import Session

PROGRAM = "aerotile"

COMMANDS = {
    "migrate": ("migrate", "Create the database's tables, or bring them up to date."),
    "sectors": ("sectors", "Load and list the sectors that tiles are judged by."),
    "ingest": ("ingest", "Bring a folder of XYZ tiles into the store."),
    "provision": ("provision", "Bring in imagery of an area: archives, rasters, folders, servers."),
    "datasets": ("datasets", "Define and list the datasets that tiles come from."),
    "describe": ("describe", "Describe tiles with a network, for the descriptor index."),
    "index": ("index", "Build, inspect and switch the descriptor index."),
    "base": ("base", "Seal, sign, verify and switch the base that a flight takes along."),
    "build": ("build", "Build a base from imagery without a store, on one machine or many."),
    "recall": ("recall", "Recall tiles by a signed list: none of them is found or read any more."),
    "ready": ("ready", "Say go or no-go for a flight: all that a route needs, there or not."),
    "search": ("search", "Find the tiles that look like a descriptor."),
    "upload": ("upload", "Bring the aircraft's own tiles to the satellite provider."),
    "uploads": ("uploads", "List what is pending, uploaded and given up; give a tile another life."),
    "status": ("status", "Show the store, the database, the index and the configuration."),
    "serve": ("serve", "Show the map in a browser: imagery, coverage, freshness, sectors, flights."),
    "dump": ("dump", "Print the stored tiles' metadata as JSON lines or CSV."),
    "export": ("export", "Copy tiles into MBTiles, PMTiles, GeoPackage or a folder."),
    "explain": ("explain", "Say what the freshness gate decides for a place and a capture time."),
    "record": ("record", "Read, filter, follow and export the flight record."),
    "replay": ("replay", "Repeat the lookups of a flight record and say which answers differ."),
    "verify": ("verify", "Compare rows, files, sidecars and hashes."),
    "amend": ("amend", "Put the capture date of stored tiles right."),
    "delete": ("delete", "Remove tiles from the store."),
    "pin": ("pin", "Keep tiles from eviction, list the pins, lift them."),
    "provider": ("provider", "Run a satellite provider for development."),
    "demo": ("demo", "Prepare a base from real imagery and fly over it."),
}


class Program(LazyGroup):
    """The top of the command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an empty text, which as a path would be the current folder."""
        for position, text in enumerate(args):
            if not text or (text.startswith("--") and text.find("=") == len(text) - 1):
                before = args[position - 1] if position else ""
                option = text if text else before if before.startswith("-") and "=" not in before else ""
                named = f"the value of {option.rstrip('=')}" if option else f"argument {position + 1}"
                raise click.UsageError(f"{named} is empty; is a variable of the shell not set?", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an interrupt is reported in one line, without click's bare newline."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise errors.InterruptedRunError from error


@click.command(
    cls=Program,
    commands_table=COMMANDS,
    package=f"{__package__}.commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=shared_options(),
    epilog="""\b
Example:
  aerotile migrate
  aerotile sectors load sectors.geojson
  aerotile ingest tiles/ --captured-at 2024-05-01
  aerotile status
""",
)
@click.version_option(package_name=PROGRAM, message="%(prog)s %(version)s")
def aerotile() -> None:
    """The map-tile cache of an aircraft that navigates by sight.

    Settings come from aerotile.toml in the current folder, from AEROTILE_* variables and from options, each
    overriding the one before.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0 done, 1 the job failed, 2 the call was wrong."""
    session = Session()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # An error while the options are read is reported with a traceback, too.
    session.debug = "--debug" in given
    handled_before = signal.signal(signal.SIGTERM, _leave)
    prepare_output()
    try:
        code = aerotile.main(given, prog_name=PROGRAM, standalone_mode=False, obj=session)
        flush_output()
    except Exception as error:  # noqa: BLE001 - the top of the program: every error ends as one line
        abandon_output()
        return errors.report(error, debug=session.debug, redacted=session.redacted)
    finally:
        signal.signal(signal.SIGTERM, handled_before)
    return code if isinstance(code, int) else 0


class _EndedBySignal(SystemExit):
    """The end by a signal: `CallableModel` lets subclasses of `SystemExit` through."""


def _leave(signal_number: int, _: FrameType | None) -> NoReturn:
    """Unwind, so that every open part is closed."""
    raise _EndedBySignal(128 + signal_number)
