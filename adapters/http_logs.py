"""What the HTTP client library logs: nothing by itself, and never a token."""

from __future__ import annotations

import logging

from .config.secret import HIDDEN

# httpx logs every URL at INFO, httpcore every event at DEBUG; this package logs the important ones itself.
for _name in ("httpx", "httpcore"):
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.WARNING)


class _TokensHidden(logging.Filter):
    """Removes tokens from httpcore's log at DEBUG: a server may repeat the token in a header."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite an entry that shows a token; every entry is logged."""
        message = record.getMessage()
        shown = message
        for token in tuple(self.tokens):
            shown = shown.replace(token, HIDDEN)
        if shown != message:
            record.msg, record.args = shown, ()
        return True


_tokens_hidden = _TokensHidden()
# A filter applies only to entries of its own logger, not to those of child loggers.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_tokens_hidden)


def hide_in_http_logs(token: str) -> None:
    """From now on no entry shows this token; nothing is hidden for an empty one."""
    if token:
        _tokens_hidden.tokens.add(token)
