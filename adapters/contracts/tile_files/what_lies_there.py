"""Reads, removals and the inventory, beside other threads too."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ....domain.errors import TileNotFoundError
from ....domain.ports.tile_files import TileFiles
from ....domain.values.inventory import FoundFile, FoundKind
from ....domain.values.tiles import TileId, TileSource
from .subject import ONBOARD, TILE, OfTileFiles, jpeg, place, read


class WhatLiesThere(OfTileFiles):
    """Reads, removals and the inventory, beside other threads too."""

    def test_a_missing_tile_is_not_found(self, files: TileFiles) -> None:
        assert not files.exists(TILE)
        assert files.sidecar_sha256(TILE) is None
        with pytest.raises(TileNotFoundError):
            files.open(TILE)
        for timeout_s in (None, 0, 60.0):
            with pytest.raises(TileNotFoundError):
                files.open(TILE, timeout_s)
            with pytest.raises(TileNotFoundError):
                files.read(TILE, timeout_s)
        with pytest.raises(TileNotFoundError):
            files.content_sha256(TILE)

    def test_removing_says_whether_the_file_was_there(self, files: TileFiles) -> None:
        place(files, jpeg())
        assert files.remove(TILE) is True
        assert files.remove(TILE) is False
        assert not files.exists(TILE)
        assert list(files.inventory()) == []

    def test_a_handle_opened_before_the_removal_stays_readable(self, files: TileFiles) -> None:
        pixels = jpeg(b"still here")
        place(files, pixels)
        with files.open(TILE) as handle:
            files.remove(TILE)
            with memoryview(handle) as view:
                assert bytes(view) == pixels

    def test_a_handle_opened_before_a_replacement_keeps_the_old_bytes(self, files: TileFiles) -> None:
        place(files, jpeg(b"old"))
        with files.open(TILE) as handle:
            place(files, jpeg(b"new"))
            with memoryview(handle) as view:
                assert bytes(view) == jpeg(b"old")

    def test_the_inventory_holds_every_tile_and_sidecar(self, files: TileFiles) -> None:
        for tile_id in (TILE, ONBOARD):
            place(files, jpeg(), tile_id)
        assert set(files.inventory()) == {
            FoundFile(FoundKind.TILE, TILE),
            FoundFile(FoundKind.SIDECAR, TILE),
            FoundFile(FoundKind.TILE, ONBOARD),
            FoundFile(FoundKind.SIDECAR, ONBOARD),
        }

    def test_discarding_removes_just_the_found_file_and_may_be_repeated(self, files: TileFiles) -> None:
        place(files, jpeg())
        found = {file.kind: file for file in files.inventory()}
        assert files.discard(found[FoundKind.SIDECAR]) is True
        assert files.discard(found[FoundKind.SIDECAR]) is False
        assert files.exists(TILE)
        assert files.sidecar_sha256(TILE) is None
        files.discard(found[FoundKind.TILE])
        assert not files.exists(TILE)

    def test_a_sidecar_is_restored_from_the_database_hash(self, files: TileFiles) -> None:
        place(files, jpeg())
        files.restore_sidecar(TILE, "0" * 64)
        assert files.sidecar_sha256(TILE) == "0" * 64
        for found in list(files.inventory()):
            if found.kind is FoundKind.SIDECAR:
                files.discard(found)
        files.restore_sidecar(TILE, hashlib.sha256(jpeg()).hexdigest())
        assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()
        assert len(list(files.inventory())) == 2

    def test_threads_place_read_and_remove_at_once(self, files: TileFiles) -> None:
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for round_number in range(20):
                tile_id = TileId(10, number, round_number, TileSource.IMPORTED)
                pixels = jpeg(f"{number} {round_number}".encode())
                place(files, pixels, tile_id)
                assert read(files, tile_id) == pixels
                assert files.remove(tile_id)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert list(files.inventory()) == []

    def test_readers_see_one_of_the_whole_tiles_while_it_is_being_replaced(self, files: TileFiles) -> None:
        versions = [jpeg(bytes([number]) * 5000) for number in range(10)]
        place(files, versions[0])
        done = threading.Event()

        def replace() -> None:
            try:
                for _ in range(5):
                    for pixels in versions:
                        place(files, pixels)
            finally:
                done.set()

        with ThreadPoolExecutor(1) as threads:
            replacing = threads.submit(replace)
            while not done.is_set():
                assert read(files) in versions
            replacing.result()
