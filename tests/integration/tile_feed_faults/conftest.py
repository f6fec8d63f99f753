"""A server of the test's own, and a site that follows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from feed_site import Server, Site


@pytest.fixture
def server(stopped_server: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(shutil.copytree(stopped_server, tmp_path / "postgres"))
    yield server
    server.stop()


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    site = Site.of(server)
    yield site
    site.feed.close()
    site.database.close()
