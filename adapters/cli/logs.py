"""Logging of the command line: one line per entry, on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from .errors import one_line

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
# Libraries whose log entries repeat our own errors; they are shown at -vv only.
_LIBRARIES = (
    "psycopg",
    "psycopg.pool",
    "sqlalchemy",
    "alembic",
    "rtree",
    "faiss",
    "faiss.loader",
    "httpx",
    "httpcore",
)


class _StandardErrorHandler(logging.Handler):
    """Writes to the `sys.stderr` of the moment, which a progress bar replaces: lines go above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - this is the log's channel
        except Exception:  # noqa: BLE001 - logging must not fail its caller; this is logging's own way out
            self.handleError(record)


class _OneLineFormatter(logging.Formatter):
    """Formats an entry as one line, without passwords."""

    def __init__(self, redacted: Callable[[str], str], *, with_trace: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._redacted = redacted
        self._with_trace = with_trace

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record) if self._with_trace else self._without_trace(record)
        return one_line(self._redacted(line))

    def _without_trace(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        return self.formatMessage(record)


def configure_logging(verbosity: int, redacted: Callable[[str], str]) -> None:
    """Log to standard error from WARNING up, with one -v from INFO, with two from DEBUG."""
    level = _LEVELS[min(verbosity, len(_LEVELS) - 1)]
    handler = _StandardErrorHandler()
    handler.setFormatter(_OneLineFormatter(redacted, with_trace=level == logging.DEBUG))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _StandardErrorHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else logging.CRITICAL)
