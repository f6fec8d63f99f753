"""`aerotile migrate`."""

from __future__ import annotations

import click

from ..command import command
from ..output import json_option, write_json, write_line
from ..session import Session


@command("aerotile migrate", "aerotile migrate --root /data/aerotile --json")
@json_option
@click.pass_obj
def migrate(session: Session, as_json: bool) -> None:
    """Create the database's tables, or bring them up to date.

    Every row stays. A database at the newest revision is left unchanged; a database that is newer than this
    program is refused.
    """
    with session.runtime() as runtime:
        report = runtime.apply_migrations()
    facts = {
        "revision_before": report.before,
        "revision": report.after,
        "applied": list(report.applied),
    }
    if as_json:
        write_json(facts)
    elif report.applied:
        write_line(f"applied {', '.join(report.applied)}; the database is at revision {report.after}")
    else:
        write_line(f"nothing to do; the database is at revision {report.after}")
