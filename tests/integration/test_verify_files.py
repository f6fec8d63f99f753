"""Verifying a store whose files were changed behind its back, on a real file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.layout import tile_path
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.store.verify import FindingKind, verify_store
from aerotile.domain.values.tiles import TileId, TileMetadata


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FilesystemTileFiles]:
    with FilesystemTileFiles(tmp_path / "tiles") as opened:
        yield opened


@pytest.fixture
def rows() -> MemoryTileRows:
    return MemoryTileRows()


@pytest.fixture
def tiles(
    rows: MemoryTileRows,
    files: FilesystemTileFiles,
    onboard_tile: Callable[..., tuple[bytes, TileMetadata]],
) -> list[TileId]:
    """Committed tiles."""
    stored = []
    for x in range(5):
        pixels, metadata = onboard_tile(x)
        rows.insert_metadata(metadata)
        files.place(files.stage(pixels, metadata))
        stored.append(metadata.tile_id)
    return stored


def test_whatever_stands_in_a_file_s_place_is_a_finding_and_sidecars_are_restored(
    rows: MemoryTileRows, files: FilesystemTileFiles, tiles: list[TileId], tmp_path: Path
) -> None:
    root = tmp_path / "tiles"
    linked, replaced, missing, malformed, linked_sidecar = tiles
    (root / tile_path(linked).tile).unlink()
    (root / tile_path(linked).tile).symlink_to("/etc/hostname")
    (root / tile_path(replaced).tile).unlink()
    (root / tile_path(replaced).tile).mkdir()
    (root / tile_path(missing).sidecar).unlink()
    (root / tile_path(malformed).sidecar).chmod(0o640)
    (root / tile_path(malformed).sidecar).write_bytes(b"\xff torn")
    (root / tile_path(linked_sidecar).sidecar).unlink()
    (root / tile_path(linked_sidecar).sidecar).symlink_to("/etc/hostname")
    findings = {finding.tile_id: finding for finding in verify_store(rows, files)}
    assert {tile_id: (finding.kind, finding.mended) for tile_id, finding in findings.items()} == {
        linked: (FindingKind.NOT_A_FILE, False),
        replaced: (FindingKind.NOT_A_FILE, False),
        missing: (FindingKind.SIDECAR_MISSING, True),
        malformed: (FindingKind.SIDECAR_WRONG, True),
        linked_sidecar: (FindingKind.SIDECAR_MISSING, True),
    }
    assert {finding.tile_id for finding in verify_store(rows, files)} == {linked, replaced}
