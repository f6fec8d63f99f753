"""How a run that went wrong ends: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress

import click

from ...domain.errors import AerotileError, ConfigurationError
from .session import Session

JOB_FAILED = 1
BAD_CALL = 2
INTERRUPTED = 130
PIPE_CLOSED = 141


class BadInputError(AerotileError):
    """What the call names is not there, or is not what the command needs. Nothing was done."""


class JobFailedError(AerotileError):
    """The command ran and its result is a failure that is not already an error of the domain."""


class InterruptedRunError(Exception):
    """Somebody pressed Ctrl-C."""


class OutputClosedError(Exception):
    """Whoever read standard output has gone, as `head` does."""


def one_line(text: str) -> str:
    """The text on one line, with whatever could steer a terminal made visible."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """The text with whatever could steer a terminal, or begin a line, made visible."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def report(error: Exception, session: Session) -> int:
    """Tell the person at the terminal, and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, OutputClosedError):
        return PIPE_CLOSED
    if session.debug:
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        print(session.redacted(trace), file=sys.stderr, end="")  # noqa: T201 - the error's own channel
    if isinstance(error, (InterruptedRunError, click.Abort)):
        _print_line("interrupted")
        return INTERRUPTED
    message, remedy, code = describe(error)
    _print_line(session.redacted(f"error: {message}" + (f" — {remedy}" if remedy else "")))
    return code


def describe(error: Exception) -> tuple[str, str | None, int]:
    """What was wrong and where, what to do about it, and the exit code."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "aerotile"
        return _usage_message(error), f"see {command} --help", BAD_CALL
    if isinstance(error, click.ClickException):
        return error.format_message(), None, BAD_CALL
    if isinstance(error, (BadInputError, ConfigurationError)):
        return str(error), error.remedy, BAD_CALL
    if isinstance(error, AerotileError):
        return str(error), error.remedy, JOB_FAILED
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}", None, JOB_FAILED
    name = type(error).__name__
    return f"unexpected {name}: {error}", "this is a defect; --debug shows where", JOB_FAILED


def _usage_message(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _print_line(line: str) -> None:
    with suppress(OSError):  # a standard error that takes no more; the exit code still tells
        print(one_line(line), file=sys.stderr)  # noqa: T201 - the error's own channel
