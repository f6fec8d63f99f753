"""Redirects as text: httpx reads their address even where it follows none, and may raise for it."""

from __future__ import annotations

import httpx

_ASIDE = "Aerotile-Location"
_REDIRECTS = (301, 302, 303, 307, 308)


async def set_location_aside(response: httpx.Response) -> None:
    """Move `Location` to where httpx does not look; a hook for each answer."""
    location = response.headers.pop("Location", None)
    if location is not None:
        response.headers[_ASIDE] = location


def location_of(status: int, headers: httpx.Headers) -> str | None:
    """Where an answer that passed the hook redirects to, as the server wrote it; None for another answer."""
    location: str | None = headers.get(_ASIDE)
    return location if status in _REDIRECTS else None
