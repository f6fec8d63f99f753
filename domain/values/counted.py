"""A number of things in words."""

from __future__ import annotations


def counted(count: int, one: str, several: str | None = None) -> str:
    """`count` with the words for one thing, or with those for several: by default the same with an s."""
    return f"{count} {one if count == 1 else several or one + 's'}"
