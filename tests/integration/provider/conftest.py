"""A reference provider for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from provider_requests import TOKEN

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.provider.server import ReferenceProvider


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "provider"


@pytest.fixture
def provider(folder: Path) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(folder, Secret(TOKEN)) as running:
        yield running
