"""`aerotile provision` of servers that others wrote: of files, by the standard library, and MapProxy."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import mercantile
import pytest
from archives import FOUR, write_folder, write_mbtiles
from cli_calls import Call
from PIL import Image

DATE = ("--captured-at", "2026-05-01")
AREA = ("--area", "11.34,48.11,11.51,48.22", "--zoom", "12")


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


class _Requests(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@pytest.fixture
def files(tmp_path: Path) -> Iterator[str]:
    """The address of XYZ tiles that lie in a folder."""
    folder = write_folder(tmp_path / "served", FOUR)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    yield from _running(server, "/{z}/{x}/{y}.jpg")


@pytest.fixture
def mapproxy(tmp_path: Path) -> Iterator[str]:
    """The address of a MapProxy's capabilities, whose cache is an MBTiles file."""
    from mapproxy.wsgiapp import make_wsgi_app

    write_mbtiles(tmp_path / "cache.mbtiles", FOUR, {"format": "jpg"})
    configuration = tmp_path / "mapproxy.yaml"
    configuration.write_text(f"""
services: {{wmts: }}
layers: [{{name: ortho, title: Ortho, sources: [tiles]}}]
grids:
  from_south: {{base: GLOBAL_WEBMERCATOR, origin: sw}}
caches:
  tiles:
    grids: [from_south]
    sources: []
    format: image/jpeg
    cache: {{type: mbtiles, filename: {tmp_path / "cache.mbtiles"}}}
""")
    server = _Threaded(("127.0.0.1", 0), _Requests)
    server.set_app(make_wsgi_app(str(configuration)))
    yield from _running(server, "/wmts/1.0.0/WMTSCapabilities.xml#ortho")


def _running(server: Any, path: str) -> Iterator[str]:
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_xyz_tiles_of_a_server_of_files_go_in_whole(call: Call, files: str) -> None:
    _check(call, files, "XYZ server")


def test_a_server_of_files_shows_the_tiles_of_a_store_as_xyz(call: Call, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "brought", FOUR)
    assert call("ingest", str(folder), *DATE).code == 0
    served = partial(_Files, directory="aerotile-data/tiles/imported")
    with contextmanager(_running)(ThreadingHTTPServer(("127.0.0.1", 0), served), "") as address:
        for place, content in FOUR.items():
            with urlopen(f"{address}/{'/'.join(map(str, place))}.jpg") as answer:
                assert (answer.headers["Content-Type"], answer.read()) == ("image/jpeg", content)


@pytest.mark.slow(reason="MapProxy is imported and started")
@pytest.mark.skipif(importlib.util.find_spec("mapproxy") is None, reason="needs MapProxy (extra bench)")
@pytest.mark.filterwarnings("ignore")  # those of MapProxy's own imports
def test_a_layer_of_mapproxy_goes_in_whole(call: Call, mapproxy: str) -> None:
    _check(call, mapproxy, "WMTS server")


def _check(call: Callable[..., Any], address: str, kind: str) -> None:
    """Bytes, digests, coverage and its picture are those of the four tiles."""
    result = call("provision", address, *AREA, *DATE, "--rate", "200", "--map", "covered.png", "--json")
    assert result.code == 0, result.err
    assert (result.json["sources"][0]["kind"], result.json["stored"]) == (kind, len(FOUR))
    rows = {row["tile"]: row["content_sha256"] for row in call("dump").json_lines}
    assert rows == {
        "imported/" + "/".join(map(str, place)): hashlib.sha256(content).hexdigest()
        for place, content in FOUR.items()
    }
    for place, content in FOUR.items():
        tile = Path("aerotile-data/tiles/imported", *map(str, place)).with_suffix(".jpg")
        assert tile.read_bytes() == content
    (covered,) = result.json["coverage"]
    west, south, east, north = zip(*(mercantile.bounds(x, y, z) for z, x, y in FOUR), strict=True)
    assert covered["boxes"] == [pytest.approx([min(west), min(south), max(east), max(north)], abs=1e-4)]
    with Image.open("covered.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 1
