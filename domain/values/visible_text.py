"""Texts of others on one line of ours."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text; characters that could steer a terminal, or begin a line, are escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
