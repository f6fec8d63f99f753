"""A folder with one tile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mapped_tiles import CONTENT, PATH


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)
