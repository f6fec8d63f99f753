"""`TileAddress`: the address of a server's tiles, with a name in braces for each number."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import attrs

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import TilePlace
from ..config.secret import Secret

_FIELD = re.compile(r"\{([^{}]*)\}")
_ZOOM, _COLUMN, _ROW = ("z", "TileMatrix"), ("x", "TileCol"), ("y", "-y", "TileRow")
_ALONE = ("q",)
_TOKEN = "token"
_SHOWN = "-token-"
_SECRET_NAMES = re.compile(r"token|key|secret|signature|sig|password|auth", re.IGNORECASE)
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@attrs.frozen
class TileAddress:
    """A template such as `https://host/{z}/{x}/{y}.jpg`. No repr and no error shows the token.

    Names of numbers: `{z}`, `{x}`, `{y}` (from the north) or `{-y}` (from the south); `{q}`, the quadkey, for
    all three; WMTS's `{TileMatrix}`, `{TileCol}`, `{TileRow}`, in a path or in a query. `{token}` stands for
    the token; without it the token goes into the `Authorization` header.
    """

    template: str
    token: Secret | None = None

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.template)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise self._refused("is no address of http or https", "write it as https://host/{z}/{x}/{y}.jpg")
        if parts.username is not None:
            raise ImagerySourceError(
                f"the address at {parts.hostname} holds a user name or password", remedy="name a --token-file"
            )
        names = _FIELD.findall(self.template)
        numbers = [*_ZOOM, *_COLUMN, *_ROW, *_ALONE]
        if unknown := [name for name in names if name not in (*numbers, _TOKEN)]:
            raise self._refused(
                f"has {{{unknown[0]}}}, which stands for nothing",
                "use {z}, {x}, {y} or {-y}; or {q}; or {TileMatrix}, {TileCol}, {TileRow}",
            )
        has_all = all(any(name in names for name in group) for group in (_ZOOM, _COLUMN, _ROW))
        if not has_all and "q" not in names:
            raise self._refused("does not say where zoom, column and row go", "use {z}, {x}, {y}; or {q}")
        if _FIELD.search(parts.netloc):
            raise self._refused("has a name in braces in its host", "name one of the hosts")
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if _SECRET_NAMES.search(name) and value not in ("{token}", _SHOWN):
                raise ImagerySourceError(
                    f"the address at {parts.hostname} shows a secret in {name}=, where others can read it",
                    remedy=f"write {name}={{token}} and name a --token-file that holds it",
                )
        if _TOKEN in names and self.token is None:
            raise self._refused("has {token}, and no token is given", "name a --token-file")
        if self.token is not None and parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
            raise self._refused("would send the token unencrypted", "use https")

    @property
    def server(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.template)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry the token."""
        if self.token is None or "{token}" in self.template:
            return {}
        return {"Authorization": f"Bearer {self.token.reveal()}"}

    def url(self, place: TilePlace) -> str:
        """The URL of a place's tile. It may hold the token: for the request alone."""
        zoom_level, x, y = place
        from_south = (1 << zoom_level) - 1 - y
        values = {
            **dict.fromkeys(_ZOOM, str(zoom_level)),
            **dict.fromkeys(_COLUMN, str(x)),
            "y": str(y),
            "-y": str(from_south),
            "TileRow": str(y),
            "q": _quadkey(place),
            _TOKEN: "" if self.token is None else quote(self.token.reveal(), safe=""),
        }
        return _FIELD.sub(lambda match: values[match[1]], self.template)

    def shown(self, place: TilePlace) -> str:
        """The same for a message, with `{token}` in the token's place."""
        return (
            attrs.evolve(self, template=self.template.replace("{token}", _SHOWN))
            .url(place)
            .replace(_SHOWN, "{token}")
        )

    def _refused(self, what: str, remedy: str) -> ImagerySourceError:
        return ImagerySourceError(f"{self.template} {what}", remedy=remedy)


def is_tile_address(source: str) -> bool:
    """Whether a source that an operator named is an address and no path."""
    return re.match(r"https?://", source, re.IGNORECASE) is not None and not Path(source).exists()


def _quadkey(place: TilePlace) -> str:
    """Two bits a zoom, the coarsest first: 1 for the eastern half, 2 for the southern."""
    digits = range(place.zoom_level - 1, -1, -1)
    return "".join(str((place.x >> bit & 1) + 2 * (place.y >> bit & 1)) for bit in digits)
