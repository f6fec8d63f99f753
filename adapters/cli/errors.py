"""Errors of the command line, and how a failed run ends: one line on standard error, and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from ...domain.errors import AerotileError, ConfigurationError
from ...domain.values.visible_text import visible
from ..input_files.errors import InputFileError

JOB_FAILED = 1
BAD_CALL = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
_MAKE_ROOM = "make room on that disk, then run it again"
_FREE_MEMORY = "end other programs, or raise the limit of this one (ulimit -v, -u; MemoryMax= of systemd)"
_SHORT_OF_MEMORY = (
    "failed to map segment from shared object",  # as the last words; elsewhere a reason of its own follows
    "can't start new thread",
)
"""How the errors of the loader and the interpreter end when the system gives them nothing more."""
_LONGEST_MESSAGE = 10_000
"""Characters; a file's own text in a message may be megabytes."""
_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.ENOMEM: _FREE_MEMORY,
    errno.EROFS: "name a place that may be written to, or mount the disk for writing",
    errno.EACCES: "name another place, or run it as a user who has the right",
    errno.EPERM: "name another place, or run it as a user who has the right",
}
"""What to do about an error of the system, by its number."""


class BadInputError(AerotileError):
    """An argument names something that does not exist or that the command can't use. Nothing was done."""


@contextmanager
def as_bad_input(*kinds: type[AerotileError]) -> Iterator[None]:
    """Raise errors of these kinds as `BadInputError`, with their message and remedy."""
    try:
        yield
    except kinds as error:
        raise BadInputError(str(error), remedy=error.remedy) from error


class JobFailedError(AerotileError):
    """The command ran, and its result is a failure that no error of the domain describes."""


class InterruptedRunError(Exception):
    """The operator pressed Ctrl-C."""


class OutputClosedError(Exception):
    """The reader of standard output closed it, as `head` does."""


def one_line(text: str) -> str:
    """The text on one line; characters that could steer a terminal are escaped."""
    return visible(" ".join(text.split()))


def report(error: Exception, *, debug: bool, redacted: Callable[[str], str]) -> int:
    """Print the error on standard error and return the exit code; never raises.

    `debug` prints the traceback as well. `redacted` takes the passwords out of a text.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, OutputClosedError):
        return PIPE_CLOSED
    if debug:
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        print(redacted(trace), file=sys.stderr, end="")  # noqa: T201 - the error's own channel
    if isinstance(error, (InterruptedRunError, click.Abort)):
        _print_line("interrupted")
        return INTERRUPTED
    message, remedy, code = describe(error)
    message = redacted(message)  # before it is cut, which could leave half of a secret
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}..."
    _print_line(f"error: {message}" + (redacted(f" — {remedy}") if remedy else ""))
    return code


def describe(error: Exception) -> tuple[str, str | None, int]:
    """The message (what was wrong and where), the remedy, and the exit code."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "aerotile"
        return _usage_message(error), f"see {command} --help", BAD_CALL
    if isinstance(error, click.ClickException):
        return error.format_message(), None, BAD_CALL
    if isinstance(error, (BadInputError, InputFileError, ConfigurationError)):
        return str(error), error.remedy, BAD_CALL
    if isinstance(error, AerotileError):
        return str(error), error.remedy, JOB_FAILED
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}", _REMEDIES.get(error.errno or 0), JOB_FAILED
    if isinstance(error, MemoryError) or str(error).endswith(_SHORT_OF_MEMORY):
        return f"no memory or no thread is left: {error}".rstrip(": "), _FREE_MEMORY, JOB_FAILED
    name = type(error).__name__
    return f"unexpected {name}: {error}", "this is a defect; --debug shows where", JOB_FAILED


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _print_line(line: str) -> None:
    with suppress(OSError):  # standard error is closed or full; the exit code still tells
        print(one_line(line), file=sys.stderr)  # noqa: T201 - the error's own channel
