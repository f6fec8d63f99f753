"""A folder to write into, and a write that has passed its gate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gated_writes import DIGEST, PIXELS

from aerotile.ext import (
    GatedWrite,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    return tmp_path / "x"


@pytest.fixture
def root(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def write() -> GatedWrite:
    return GatedWrite(PIXELS, DIGEST, len(PIXELS), 256)
