"""The audit of fault tests: everything that may be wrong with a store is seen, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import attrs
import psycopg
import pytest
from store_facts import MARK, PLACED_MODE, Audit, Files, Row, Rows

from aerotile.domain.values.disk_usage import DiskUsage

KEPT, OTHER = "imported/20/7/3", "onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/20/7/4"
PIXELS = {KEPT: b"seven", OTHER: b"pixels"}
SHA256 = {tile: hashlib.sha256(pixels).hexdigest() for tile, pixels in PIXELS.items()}


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(PLACED_MODE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiles' folder of a whole store."""
    (tmp_path / MARK).touch()
    for tile, pixels in PIXELS.items():
        path = tmp_path / f"{tile}.jpg"
        path.parent.mkdir(parents=True)
        replace(path, pixels)
        replace(path.with_suffix(".jpg.sha256"), f"{SHA256[tile]}  {path.name}\n".encode())
    return tmp_path


def rows() -> Rows:
    """Those of the same store."""
    tiles = {tile: Row(SHA256[tile], len(pixels), False, True) for tile, pixels in PIXELS.items()}
    return counted(tiles)


def rows_with(**changes: object) -> Rows:
    """Those of the same store, but for what one row says; the total is as the rows say."""
    changed = attrs.evolve(rows().tiles[KEPT], **changes)
    tiles = {**rows().tiles, KEPT: changed}
    return counted(tiles)


def counted(tiles: dict[str, Row]) -> Rows:
    """The rows with the totals that they add up to."""
    return Rows(tiles, Rows(tiles, DiskUsage()).summed())


def test_a_whole_store_is_whole(folder: Path) -> None:
    audit = Audit.between(rows(), Files.read(folder))
    audit.assert_whole()
    assert audit.rows == SHA256
    assert Files.read(folder).leaked == []


DAMAGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "no file": ("lost", KEPT, lambda folder: (folder / f"{KEPT}.jpg").unlink()),
    "no mark of the store": ("lost", MARK, lambda folder: (folder / MARK).unlink()),
    "another content": ("torn", KEPT, lambda folder: replace(folder / f"{KEPT}.jpg", b"seveN")),
    "a shorter content": ("torn", KEPT, lambda folder: replace(folder / f"{KEPT}.jpg", b"seve")),
    "no sidecar": ("torn", KEPT, lambda folder: (folder / f"{KEPT}.jpg.sha256").unlink()),
    "another sidecar": (
        "torn",
        KEPT,
        lambda folder: replace(folder / f"{KEPT}.jpg.sha256", f"{SHA256[OTHER]}  3.jpg\n".encode()),
    ),
    "a sidecar under another name": (
        "torn",
        KEPT,
        lambda folder: replace(folder / f"{KEPT}.jpg.sha256", f"{SHA256[KEPT]}  4.jpg\n".encode()),
    ),
    "a tile that may be written to": ("torn", KEPT, lambda folder: (folder / f"{KEPT}.jpg").chmod(0o640)),
    "a sidecar that may be written to": (
        "torn",
        KEPT,
        lambda folder: (folder / f"{KEPT}.jpg.sha256").chmod(0o640),
    ),
    "a tile without a row": (
        "leaked",
        "imported/20/7/4.jpg",
        lambda folder: replace(folder / "imported/20/7/4.jpg", b"seven"),
    ),
    "a sidecar without a row": (
        "leaked",
        "imported/20/7/4.jpg.sha256",
        lambda folder: replace(folder / "imported/20/7/4.jpg.sha256", b""),
    ),
    "a temporary file": (
        "leaked",
        "imported/20/7/.3.jpg.tmp",
        lambda folder: replace(folder / "imported/20/7/.3.jpg.tmp", b"seven"),
    ),
    "a link that leads nowhere": (
        "leaked",
        "imported/9.jpg",
        lambda folder: (folder / "imported/9.jpg").symlink_to("nowhere"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_of_files_is_seen(folder: Path, name: str) -> None:
    kind, what, damage = DAMAGES[name]
    damage(folder)
    audit = Audit.between(rows(), Files.read(folder))
    seen = {kind: getattr(audit, kind) for kind in ("lost", "torn", "leaked")}
    assert seen == {"lost": frozenset(), "torn": frozenset(), "leaked": frozenset(), kind: {what}}
    with pytest.raises(AssertionError, match=kind):
        audit.assert_whole()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("lost", {"has_file": False}),
        ("torn", {"content_sha256": SHA256[OTHER]}),
        ("torn", {"disk_bytes": 6}),
    ],
    ids=["a row that says it has no file", "another hash", "another size"],
)
def test_a_row_that_its_file_does_not_bear_out_is_seen(
    folder: Path, kind: str, changes: dict[str, object]
) -> None:
    audit = Audit.between(rows_with(**changes), Files.read(folder))
    assert getattr(audit, kind) == {KEPT}
    assert audit.total_is_exact
    with pytest.raises(AssertionError, match=kind):
        audit.assert_whole()


def test_a_total_that_is_not_the_sum_is_seen(folder: Path) -> None:
    audit = Audit.between(
        attrs.evolve(rows(), usage=attrs.evolve(rows().usage, disk_bytes=10)), Files.read(folder)
    )
    with pytest.raises(AssertionError, match="10 bytes counted, 11 in the rows"):
        audit.assert_whole()


def test_a_total_of_onboard_tiles_that_is_not_their_sum_is_seen(folder: Path) -> None:
    audit = Audit.between(
        attrs.evolve(rows(), usage=attrs.evolve(rows().usage, onboard_footprint_bytes=3)), Files.read(folder)
    )
    with pytest.raises(AssertionError, match="onboard_footprint_bytes=3"):
        audit.assert_whole()


def test_a_file_that_belongs_to_no_tile_is_seen_without_rows(folder: Path) -> None:
    replace(folder / "imported/20/7/03.jpg.part", b"")
    assert Files.read(folder).leaked == ["imported/20/7/03.jpg.part"]


def test_the_rows_of_a_database_are_read_with_their_total(migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        assert Rows.read(connection) == Rows({}, DiskUsage())
        connection.execute(
            "UPDATE disk_usage SET total_bytes = 7, footprint_bytes = 6, onboard_footprint_bytes = 5"
        )
        assert Rows.read(connection) == Rows({}, DiskUsage(7, 6, 5))
