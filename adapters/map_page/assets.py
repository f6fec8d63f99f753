"""The files of the page, ours and Leaflet's, read once; nothing else of either package is served."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Final

import attrs
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import RuntimeNotAvailableError
from .answers import REVALIDATED, RefusedError
from .byte_ranges import names_one_of

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_LEAFLET_FILES = ("leaflet.css", "leaflet.js")


@attrs.frozen
class Asset:
    """One file, and what a browser is told of it."""

    content: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 for a client that has it."""
        headers = {**REVALIDATED, "ETag": self.etag}
        if names_one_of(request.headers.get("If-None-Match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, 200, headers, self.media_type)


def read_assets() -> Mapping[str, Asset]:
    """All files by the path that they are served under; the page itself under `page.html`.

    Raises `RuntimeNotAvailableError` where the package that carries Leaflet is not installed.
    """
    ours = files(__package__) / "static"
    assets = {each.name: _asset(each.name, each.read_bytes()) for each in ours.iterdir() if each.is_file()}
    try:
        leaflet = files("js_lib_leaflet") / "static" / "js_lib_leaflet"
        for name in _LEAFLET_FILES:
            assets[f"leaflet/{name}"] = _asset(name, leaflet.joinpath(name).read_bytes())
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise RuntimeNotAvailableError(
            "the map page needs Leaflet of the package django-js-lib-leaflet, which is not installed",
            remedy='install it: pip install "aerotile[serve]"',
        ) from error
    return assets


def asset_at(assets: Mapping[str, Asset], path: str) -> Asset:
    """The file at a path. Raises `RefusedError`."""
    if path not in assets:
        raise RefusedError(404, "the page has no such file")
    return assets[path]


def _asset(name: str, content: bytes) -> Asset:
    suffix = name[name.rindex(".") :]
    return Asset(content, _TYPES[suffix], f'"{sha256(content).hexdigest()}"')
