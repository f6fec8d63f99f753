"""Fixtures that the tests of the map page share, and a server that others copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from map_sites import MapSite
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def stopped_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server with the settings of a flight and all migrations; to be copied, never used."""
    from feed_site import Server

    folder = tmp_path_factory.mktemp("stopped_server") / "postgres"
    Server(folder).stop()
    return folder


@pytest.fixture(scope="module")
def flown_site(tmp_path_factory: pytest.TempPathFactory) -> MapSite:
    """A base, and the record of a flight over it."""
    from map_sites import flight_events, make_site, write_record

    site = make_site(tmp_path_factory.mktemp("site") / "root")
    write_record(site.config.record_folder, flight_events())
    return site


@pytest.fixture(scope="module")
def url(flown_site: MapSite) -> Iterator[str]:
    """The address of a server that shows the site."""
    from map_sites import served

    with served(flown_site) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. For one module: while it runs, its thread runs an event loop."""
    from browsers import chromium

    with chromium() as browser:
        yield browser
