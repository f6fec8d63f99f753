"""A reference provider for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from provider_requests import TOKEN, frame

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.provider.server import ReferenceProvider


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "provider"


@pytest.fixture
def provider(folder: Path) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(folder, Secret(TOKEN)) as running:
        yield running


@pytest.fixture
def batch() -> bytes:
    """Three good tiles."""
    return b"".join(frame(x, example_jpeg(bytes([x]) * 300)) for x in range(3))


@pytest.fixture
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What goes wrong on purpose is no reason to alarm anybody."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []
