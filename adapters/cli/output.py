"""Facts on standard output: as text for a person, or as JSON for a program."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ...domain.values.counted import counted
from ...domain.values.visible_text import visible
from .errors import JobFailedError, OutputClosedError

if TYPE_CHECKING:
    from ..recorder.reader import RecordReader

_OUTPUT = 1
json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")


def prepare_output() -> None:
    """Replace closed standard streams; characters that the terminal's encoding lacks are escaped."""
    _occupy_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _occupy_closed_streams() -> None:
    """Occupy the descriptors of closed streams: discard messages, and let the writing of a result fail.

    Otherwise the next file that is opened would get the number, and with it everything that a library prints.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            access = os.O_RDONLY if descriptor == _OUTPUT else os.O_RDWR
            os.set_inheritable(os.open(os.devnull, access), True)
    if sys.stdout is None:
        sys.stdout = open(_OUTPUT, "w", closefd=False)  # noqa: SIM115 - it lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - it lives as long as the process


def flush_output() -> None:
    """Write the buffered output while a failure can still be reported. Raises as `write_line`."""
    with _failures_named():
        sys.stdout.flush()


def abandon_output() -> None:
    """Discard output that can't be written: Python would try, and complain, once more when it ends."""
    try:
        flush_output()
    except (JobFailedError, OutputClosedError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_line(text: str) -> None:
    """One line. Raises `OutputClosedError` when the reader is gone, `JobFailedError` when a disk fails."""
    with _failures_named():
        click.echo(text)


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error
    except OSError as error:
        raise JobFailedError(f"can't write to standard output: {error.strerror or error}") from error


def write_json(facts: Any) -> None:
    """One JSON document, indented."""
    write_line(json.dumps(facts, indent=2))


def write_json_line(facts: Any) -> None:
    """One JSON document on one line, for a stream of documents."""
    write_line(json.dumps(facts, separators=(",", ":")))


def write_facts(facts: Mapping[str, Any]) -> None:
    """One `name  value` line each, values aligned."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        write_line(f"{name:<{width}}  {visible(_in_text(value))}")


def _in_text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_text, value)) or "-"
    return str(value)


def write_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns under a header, numbers to the right."""
    cells = [["-" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numeric = [
        bool(rows) and all(isinstance(row[position], (int, float)) for row in rows)
        for position in range(len(header))
    ]
    for row in [list(header), *cells]:
        parts = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        write_line("  ".join(parts).rstrip())


def in_words(size: int) -> str:
    """A number of bytes in the unit that a person reads best."""
    value, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def warn_of_damage(reader: RecordReader) -> None:
    """Say on standard error how many lines of a flight record were damaged, and where the first is."""
    first = reader.first_damaged
    if first is not None:
        click.echo(
            f"warning: {counted(reader.damaged_lines, 'damaged line')} skipped, the first in "
            f"{visible(str(first.path))} "
            f"at byte {first.offset}: {visible(first.reason)}",
            err=True,
        )
