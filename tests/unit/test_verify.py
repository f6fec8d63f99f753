"""Verifying a store in memory: what is found, what is mended, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import attrs
import pytest

from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.ports.tile_files import MALFORMED_SIDECAR
from aerotile.domain.store.verify import Finding, FindingKind, verify_store
from aerotile.domain.values.inventory import FoundFile, FoundKind, TileInventory
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)

MakeTile = Callable[..., tuple[bytes, TileMetadata]]


class FailingFiles(MemoryTileFiles):
    """Files on a disk that fails where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[TileId] = set()
        self.unreadable_sidecars: set[TileId] = set()
        self.malformed_sidecars: set[TileId] = set()
        self.read_only = False
        self.listing_fails = False
        self.temporaries: list[FoundFile] = []
        self.before_hashing: Callable[[], None] = lambda: None
        self.after_hashing: Callable[[], None] = lambda: None

    def content_sha256(self, tile_id: TileId) -> str:
        self.before_hashing()
        if tile_id in self.unreadable:
            raise StoreUnavailableError(f"can't hash {tile_id}: Input/output error")
        digest = super().content_sha256(tile_id)
        self.after_hashing()
        return digest

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        if tile_id in self.unreadable_sidecars:
            raise StoreUnavailableError(f"can't read the sidecar of {tile_id}: Input/output error")
        return MALFORMED_SIDECAR if tile_id in self.malformed_sidecars else super().sidecar_sha256(tile_id)

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        if self.read_only:
            raise StoreUnavailableError("Read-only file system")
        super().restore_sidecar(tile_id, content_sha256)
        self.malformed_sidecars.discard(tile_id)

    def inventory(self) -> TileInventory:
        if self.listing_fails:
            raise StoreUnavailableError("can't list a folder: Input/output error")
        return TileInventory.of([*super().inventory(), *self.temporaries])


@attrs.frozen
class Store:
    """Both halves, with a few committed tiles in order of their column."""

    rows: MemoryTileRows
    files: FailingFiles
    tiles: list[TileMetadata]

    def findings(self) -> list[Finding]:
        """Everything that a check finds."""
        return list(verify_store(self.rows, self.files))

    def remove(self, kind: FoundKind, metadata: TileMetadata) -> None:
        """Take a file away behind the store's back."""
        self.files.discard(FoundFile(kind, metadata.tile_id))

    def damage(self, metadata: TileMetadata, other: tuple[bytes, TileMetadata]) -> None:
        """Put other content, and its sidecar, in the place of a tile's."""
        pixels, facts = other
        self.files.place(self.files.stage(pixels, attrs.evolve(facts, tile_id=metadata.tile_id)))


@pytest.fixture
def store(onboard_tile: MakeTile) -> Store:
    rows, files, tiles = MemoryTileRows(), FailingFiles(), []
    for x in range(3):
        pixels, metadata = onboard_tile(x)
        rows.insert_metadata(metadata)
        files.place(files.stage(pixels, metadata))
        tiles.append(metadata)
    return Store(rows, files, tiles)


def kinds(findings: list[Finding]) -> list[tuple[FindingKind, TileId]]:
    return [(finding.kind, finding.tile_id) for finding in findings]


def test_a_store_as_it_should_be_has_no_findings_and_every_tile_is_counted(store: Store) -> None:
    counted: list[tuple[int, int]] = []
    assert list(verify_store(store.rows, store.files, lambda *count: counted.append(count))) == []
    assert counted == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_an_unreadable_tile_is_a_finding_and_the_check_goes_on(store: Store) -> None:
    first, second, third = store.tiles
    store.files.unreadable.add(first.tile_id)
    store.remove(FoundKind.TILE, second)
    store.files.unreadable_sidecars.add(third.tile_id)
    findings = store.findings()
    assert set(kinds(findings)) == {
        (FindingKind.FILE_UNREADABLE, first.tile_id),
        (FindingKind.FILE_MISSING, second.tile_id),
        (FindingKind.FILE_UNREADABLE, third.tile_id),
    }
    assert all("Input/output error" in f.detail for f in findings if f.kind is FindingKind.FILE_UNREADABLE)


def test_a_missing_sidecar_is_restored_and_reported_as_mended(store: Store) -> None:
    tile = store.tiles[1]
    store.remove(FoundKind.SIDECAR, tile)
    (finding,) = store.findings()
    assert (finding.kind, finding.tile_id) == (FindingKind.SIDECAR_MISSING, tile.tile_id)
    assert finding.mended
    assert "restored" in finding.remedy
    assert store.files.sidecar_sha256(tile.tile_id) == tile.content_sha256
    assert store.findings() == []


def test_a_sidecar_that_names_another_hash_is_restored(store: Store) -> None:
    tile = store.tiles[1]
    store.files.restore_sidecar(tile.tile_id, "0" * 64)
    (finding,) = store.findings()
    assert (finding.kind, finding.mended) == (FindingKind.SIDECAR_WRONG, True)
    assert "0" * 64 in finding.detail
    assert store.findings() == []


def test_a_malformed_sidecar_is_told_from_a_missing_one_and_restored(store: Store) -> None:
    missing, malformed, _ = store.tiles
    store.remove(FoundKind.SIDECAR, missing)
    store.files.malformed_sidecars.add(malformed.tile_id)
    findings = store.findings()
    assert set(kinds(findings)) == {
        (FindingKind.SIDECAR_MISSING, missing.tile_id),
        (FindingKind.SIDECAR_WRONG, malformed.tile_id),
    }
    assert all(finding.mended for finding in findings)
    assert store.findings() == []


def test_a_sidecar_that_cannot_be_restored_is_not_reported_as_mended(store: Store) -> None:
    store.remove(FoundKind.SIDECAR, store.tiles[0])
    store.files.read_only = True
    (finding,) = store.findings()
    assert (finding.kind, finding.mended) == (FindingKind.SIDECAR_MISSING, False)
    assert "Read-only file system" in finding.detail
    assert "run aerotile verify again" in finding.remedy


def test_the_sidecar_of_a_damaged_tile_is_left_as_it_is(store: Store, onboard_tile: MakeTile) -> None:
    tile = store.tiles[0]
    pixels, facts = onboard_tile(99)
    store.damage(tile, (pixels, facts))
    findings = store.findings()
    assert kinds(findings) == [
        (FindingKind.CONTENT_DAMAGED, tile.tile_id),
        (FindingKind.SIDECAR_WRONG, tile.tile_id),
    ]
    assert not any(finding.mended for finding in findings)
    assert store.files.sidecar_sha256(tile.tile_id) == facts.content_sha256


def test_no_sidecar_is_restored_for_a_tile_that_is_deleted_meanwhile(store: Store) -> None:
    tile = store.tiles[0]
    store.remove(FoundKind.SIDECAR, tile)

    def delete() -> None:
        with store.rows.removing(tile.tile_id):
            store.files.remove(tile.tile_id)

    store.files.after_hashing = delete
    assert store.findings() == []
    assert store.files.sidecar_sha256(tile.tile_id) is None


def test_a_tile_that_is_deleted_while_it_is_checked_is_no_finding(store: Store) -> None:
    tile = store.tiles[0]

    def delete() -> None:
        with store.rows.removing(tile.tile_id):
            store.files.remove(tile.tile_id)

    store.files.before_hashing = delete
    assert store.findings() == []
    assert not store.files.exists(tile.tile_id)


def test_a_row_without_a_hash_is_a_finding_and_its_file_is_no_orphan(
    store: Store, onboard_tile: MakeTile
) -> None:
    pixels, metadata = onboard_tile(7)
    store.rows.add_row_without_hash(TileMetadataPersistent.of(metadata, created_at=NOON))
    store.files.place(store.files.stage(pixels, metadata))
    (finding,) = store.findings()
    assert (finding.kind, finding.tile_id) == (FindingKind.HASH_UNKNOWN, metadata.tile_id)
    assert "aerotile verify --reconcile" in finding.remedy


def test_files_without_a_row_and_temporaries_are_left_to_a_reconciliation(
    store: Store, onboard_tile: MakeTile
) -> None:
    pixels, metadata = onboard_tile(7)
    store.files.place(store.files.stage(pixels, metadata))
    store.files.temporaries.append(FoundFile(FoundKind.TEMPORARY, metadata.tile_id, "7.jpg.tmp"))
    findings = store.findings()
    assert {finding.kind for finding in findings} == {FindingKind.ORPHAN_FILE, FindingKind.TEMPORARY_FILE}
    assert all("aerotile verify --reconcile" in finding.remedy for finding in findings)
    assert store.files.exists(metadata.tile_id)


def test_a_lost_or_damaged_tile_is_to_be_repaired_and_ingested_again(
    store: Store, onboard_tile: MakeTile
) -> None:
    store.remove(FoundKind.TILE, store.tiles[0])
    store.damage(store.tiles[1], onboard_tile(99))
    remedies = {finding.kind: finding.remedy for finding in store.findings()}
    for kind in (FindingKind.FILE_MISSING, FindingKind.CONTENT_DAMAGED):
        assert "aerotile verify --repair" in remedies[kind]
        assert remedies[kind].endswith("then ingest it again")


def test_a_check_goes_on_where_an_earlier_one_stopped(store: Store) -> None:
    for tile in store.tiles:
        store.remove(FoundKind.TILE, tile)
    places: list[int] = []
    everything = list(verify_store(store.rows, store.files, checkpoint=places.append))
    assert places == sorted(places)
    rest = list(verify_store(store.rows, store.files, start_at=places[1]))
    assert rest == everything[1:]


def test_every_tile_that_was_read_is_accounted_for(store: Store) -> None:
    read: list[int] = []
    list(verify_store(store.rows, store.files, pace=read.append))
    assert sorted(read) == sorted(tile.disk_bytes for tile in store.tiles)


def test_a_folder_that_cannot_be_listed_does_not_hide_the_findings_about_its_tiles(store: Store) -> None:
    store.files.unreadable.add(store.tiles[0].tile_id)
    store.files.listing_fails = True
    assert [finding.kind for finding in store.findings()] == [FindingKind.FILE_UNREADABLE] * 2


def test_a_walk_that_fails_though_every_tile_could_be_read_is_no_clean_result(store: Store) -> None:
    store.files.listing_fails = True
    with pytest.raises(StoreUnavailableError, match="list a folder"):
        store.findings()


def test_a_database_that_does_not_answer_ends_the_check(store: Store) -> None:
    store.rows.answers = False
    with pytest.raises(StoreUnavailableError):
        store.findings()
