"""A call that may block says for how long: in its docstring, and on the page of threads and processes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import aerotile
from aerotile.domain.ports.descriptor_index import DescriptorIndex
from aerotile.domain.ports.tile_store import SupportsLocalReads, SupportsLocalWrites, TileStore
from aerotile.domain.ports.uploader import TileUploader

PAGE = (Path(__file__).parents[2] / "docs" / "threads-and-processes.md").read_text("utf-8")
WAITING = [
    TileStore.read_tile_pixels,
    TileStore.write_tile,
    TileStore.delete_tile,
    SupportsLocalReads.read_tile_bytes,
    SupportsLocalReads.read_tile_pixels_within,
    SupportsLocalWrites.write_tiles,
    SupportsLocalWrites.evict_tile,
    DescriptorIndex.search,
    TileUploader.upload_pending_tiles,
    aerotile.find_tiles,
    *(getattr(aerotile, name) for name in aerotile.__all__ if re.match("build_|apply_|close_", name)),
]


@pytest.mark.parametrize("call", WAITING, ids=lambda call: call.__qualname__)
def test_a_call_that_may_block_says_for_how_long(call: object) -> None:
    assert re.search(r"\bwait(s|ing)?\b", inspect.getdoc(call) or "", re.IGNORECASE)


def test_the_metadata_store_says_it_for_every_method() -> None:
    assert "waits at most `database.connect_timeout_s` seconds" in (
        inspect.getdoc(aerotile.TileMetadataStore) or ""
    )


@pytest.mark.parametrize("call", WAITING, ids=lambda call: call.__qualname__)
def test_the_page_of_threads_has_each_of_them(call: object) -> None:
    durations = PAGE.split("## How long a call may take")[1]
    assert f"`{call.__qualname__.rpartition('.')[2]}`" in durations  # type: ignore[attr-defined] # functions
