"""A root for a descriptor index, with and without a generation."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_builds import build

from aerotile.adapters.faiss import FaissDescriptorIndex


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def built(root: Path) -> Path:
    """A root with one generation, of tiles from 100."""
    build(FaissDescriptorIndex(root), 100)
    return root
