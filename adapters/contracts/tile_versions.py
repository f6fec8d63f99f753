"""The contract of `TileVersions`: the last version of each place, by the name of its source."""

from __future__ import annotations

import pytest

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_versions import FetchedVersion, TileVersions

_HERE, _THERE = TilePlace(12, 2177, 1420), TilePlace(12, 2178, 1420)
_FIRST, _SECOND = FetchedVersion('ETag: "a"', "ab" * 32), FetchedVersion('ETag: "b"', "cd" * 32)


class TileVersionsContract:
    """Tests that every `TileVersions` passes. Override `versions`."""

    @pytest.fixture
    def versions(self) -> TileVersions:
        """The versions under test, with none in them. Override it."""
        raise NotImplementedError

    def test_nothing_is_known_at_first(self, versions: TileVersions) -> None:
        assert versions.find("https://a", [_HERE, _THERE]) == {}
        assert versions.find("https://a", []) == {}

    def test_the_last_version_of_each_place_is_found(self, versions: TileVersions) -> None:
        versions.note("https://a", {_HERE: _FIRST, _THERE: _FIRST})
        versions.note("https://a", {_HERE: _SECOND})
        versions.note("https://a", {})
        assert versions.find("https://a", [_HERE, _THERE]) == {_HERE: _SECOND, _THERE: _FIRST}
        assert versions.find("https://a", [_THERE]) == {_THERE: _FIRST}

    def test_sources_and_zooms_are_told_apart(self, versions: TileVersions) -> None:
        versions.note("https://a", {_HERE: _FIRST})
        assert versions.find("https://b", [_HERE]) == {}
        assert versions.find("https://a", [TilePlace(11, _HERE.x, _HERE.y)]) == {}
