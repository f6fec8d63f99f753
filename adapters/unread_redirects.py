"""Redirects as text: httpx reads their address even where it follows none, and may raise for it."""

from __future__ import annotations

import httpx

_ASIDE = "Aerotile-Location"


async def set_location_aside(response: httpx.Response) -> None:
    """Move `Location` to where httpx does not look; a hook for each answer."""
    location = response.headers.pop("Location", None)
    if location is not None:
        response.headers[_ASIDE] = location


def location_of(headers: httpx.Headers) -> str | None:
    """The `Location` of an answer that passed the hook, as the server wrote it."""
    location: str | None = headers.get(_ASIDE)
    return location
