"""Addresses of servers: `TileAddress` has a name in braces for each number of a tile's place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import attrs

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import TilePlace
from ..config.secret import HIDDEN, SHORTEST_REPLACED, Secret

_FIELD = re.compile(r"\{([^{}]*)\}")
_ZOOM, _COLUMN, _ROW = ("z", "TileMatrix"), ("x", "TileCol"), ("y", "-y", "TileRow")
_ALONE = ("q",)
_TOKEN = "token"
_SHOWN = "-token-"
_SECRET_NAMES = re.compile(
    r"token|secret|signature|password|(?:api|access|auth|subscription)key|(?:^|[_.-])(?:key|sig|auth|pw)(?:$|[_.-])",
    re.IGNORECASE,
)
_USER = re.compile(r"//[^/?#]*@")
_PARAMETER = re.compile(r"([?&#])([^=&#]*)=([^&#]*)")
_LONGEST = 2000
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@attrs.frozen
class ServerAddress:
    """An address of http or https that may hold `{token}`. No repr and no error shows the token.

    Without `{token}` in the address the token goes into the `Authorization` header. Raises
    `ImagerySourceError` for an address that can't be asked, or that shows a secret.
    """

    template: str
    token: Secret | None = None

    def __attrs_post_init__(self) -> None:
        parts = self._parts()
        if parts.username is not None:
            raise ImagerySourceError(
                f"the address at {parts.hostname} holds a user name or password", remedy="name a --token-file"
            )
        if _FIELD.search(parts.netloc):
            raise self._refused("has a name in braces in its host", "name one of the hosts")
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if _SECRET_NAMES.search(name) and value not in ("{token}", _SHOWN):
                raise ImagerySourceError(
                    f"the address at {parts.hostname} shows a secret in {name}=, where others can read it",
                    remedy=f"write {name}={{token}} and name a --token-file that holds it",
                )
        if "{token}" in self.template and self.token is None:
            raise self._refused("has {token}, and no token is given", "name a --token-file")
        if self.token is not None and parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
            raise self._refused("would send the token unencrypted", "use https")

    def _parts(self) -> SplitResult:
        try:
            parts = urlsplit(self.template)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_host = False
        if not has_host or parts.scheme not in ("http", "https") or not _is_plain(self.template):
            raise self._refused("is no address of http or https", "write it as https://host/{z}/{x}/{y}.jpg")
        if parts.fragment:
            raise self._refused("goes on behind a #, which no server is sent", "leave that part out")
        return parts

    @property
    def server(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.template)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port, as browsers compare them."""
        return origin_of(self.template)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry the token."""
        if self.token is None or "{token}" in self.template:
            return {}
        return {"Authorization": f"Bearer {self.token.reveal()}"}

    @property
    def whole_url(self) -> str:
        """The URL of an address without numbers. It may hold the token: for the request alone."""
        return self._filled({})

    def without_token(self, text: str) -> str:
        """A text of the server, with `{token}` in the place of the token that it repeats."""
        if self.token is None or len(self.token.reveal()) < SHORTEST_REPLACED:
            return text
        for form in (self.token.reveal(), quote(self.token.reveal(), safe="")):
            text = text.replace(form, "{token}")
        return text

    def _filled(self, values: Mapping[str, str]) -> str:
        token = "" if self.token is None else quote(self.token.reveal(), safe="")
        return _FIELD.sub(lambda match: {**values, _TOKEN: token}[match[1]], self.template)

    def _refused(self, what: str, remedy: str) -> ImagerySourceError:
        return ImagerySourceError(f"{without_secrets(self.template[:_LONGEST])} {what}", remedy=remedy)


@attrs.frozen
class TileAddress(ServerAddress):
    """A template such as `https://host/{z}/{x}/{y}.jpg`.

    Names of numbers: `{z}`, `{x}`, `{y}` (from the north) or `{-y}` (from the south); `{q}`, the quadkey, for
    all three; WMTS's `{TileMatrix}`, `{TileCol}`, `{TileRow}`, in a path or in a query.
    """

    matrices: Mapping[int, str] = attrs.field(factory=dict)
    """What stands for `{TileMatrix}` at each zoom; for one that is missing the zoom itself."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
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

    def url(self, place: TilePlace) -> str:
        """The URL of a place's tile. It may hold the token: for the request alone."""
        zoom_level, x, y = place
        return self._filled(
            {
                "z": str(zoom_level),
                "TileMatrix": quote(self.matrices.get(zoom_level, str(zoom_level)), safe=""),
                **dict.fromkeys(_COLUMN, str(x)),
                "y": str(y),
                "-y": str((1 << zoom_level) - 1 - y),
                "TileRow": str(y),
                "q": _quadkey(place),
            }
        )

    def shown(self, place: TilePlace) -> str:
        """The same for a message, with `{token}` in the token's place."""
        hidden = attrs.evolve(self, template=self.template.replace("{token}", _SHOWN))
        return hidden.url(place).replace(_SHOWN, "{token}")


def is_address(source: str) -> bool:
    """Whether a source that an operator named is an address and no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None and not Path(source).exists()


def without_secrets(address: str) -> str:
    """An address for a message, also one that can't be asked: without its user, password and secrets."""

    def shown(match: re.Match[str]) -> str:
        mark, name, value = match.groups()
        is_secret = _SECRET_NAMES.search(unquote(name)) and value not in ("{token}", _SHOWN)
        return f"{mark}{name}={HIDDEN if is_secret else value}"

    return _PARAMETER.sub(shown, _USER.sub(f"//{HIDDEN}@", address))


def origin_of(address: str) -> tuple[str, str, int]:
    """Scheme, host and port; a host that can't be read is empty."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0


def has_numbers(address: str) -> bool:
    """Whether an address has names in braces beside the token's, as that of tiles does."""
    return any(name != _TOKEN for name in _FIELD.findall(address))


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text and len(text) <= _LONGEST


def _quadkey(place: TilePlace) -> str:
    """Two bits a zoom, the coarsest first: 1 for the eastern half, 2 for the southern."""
    digits = range(place.zoom_level - 1, -1, -1)
    return "".join(str((place.x >> bit & 1) + 2 * (place.y >> bit & 1)) for bit in digits)
