"""`aerotile base verify` finds every changed byte, and names the tiles that a damage costs."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealed_bases import NOBODY, seal, square

from aerotile.adapters.pmtiles.archive_header import DATA_OFFSET
from aerotile.adapters.sealed_base import check as checks
from aerotile.adapters.sealed_base.check import BaseCheck, BaseFinding, check_base
from aerotile.adapters.sealed_base.facts import FACTS_ROW
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import SECTORS_FILE
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.domain.errors import BaseUnavailableError
from aerotile.ext import map_file

TILES = square(12)


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> BaseGenerations:
    root = tmp_path_factory.mktemp("base")
    seal(root, TILES)
    return BaseGenerations(root)


def findings_of(generations: BaseGenerations) -> list[BaseFinding]:
    return check_base(open_base(generations, "000001", NOBODY, require_signature=False))


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_an_intact_generation_has_no_findings(generations: BaseGenerations) -> None:
    read: list[int] = []
    done: list[tuple[int, int]] = []
    base = open_base(generations, "000001", NOBODY, require_signature=False)
    assert check_base(base, pace=read.append, progress=lambda at, total: done.append((at, total))) == []
    sizes = [base.signed.manifest.files[name].size for name in ("facts", "tiles.pmtiles")]
    assert sum(read) == sum(sizes)
    assert done[-1] == (sum(sizes), sum(sizes))


def test_a_check_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    seal(tmp_path, TILES)
    generations = BaseGenerations(tmp_path)
    path = generations.folder("000001") / "facts"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1  # in no part of the archive, so the facts' part is the finding
    replaced(path, bytes(changed))
    whole = findings_of(generations)
    check, read = BaseCheck(), []

    def interrupt() -> None:
        raise KeyboardInterrupt

    base = open_base(generations, "000001", NOBODY, require_signature=False)
    parts = 0
    while True:
        try:
            found = check_base(base, check=check, pace=read.append, checkpoint=interrupt)
            break
        except KeyboardInterrupt:
            parts += 1
    assert (found, parts) == (whole, check.parts)
    assert parts == sum(base.signed.manifest.files[name].parts for name in ("facts", "tiles.pmtiles"))


@given(st.sampled_from(["facts", "tiles.pmtiles", "digests", "sectors.json"]), st.integers(0, 10**9))
def test_a_changed_bit_anywhere_is_found(generations: BaseGenerations, name: str, position: int) -> None:
    path = generations.folder("000001") / name
    content = path.read_bytes()
    changed = bytearray(content)
    changed[position % len(content)] ^= 1 << position % 8
    replaced(path, bytes(changed))
    try:
        found: object = findings_of(generations)
    except BaseUnavailableError as error:
        found = error
    finally:
        replaced(path, content)
    assert found


def test_a_check_that_claims_more_parts_than_there_are_begins_anew(generations: BaseGenerations) -> None:
    base = open_base(generations, "000001", NOBODY, require_signature=False)
    done: list[tuple[int, int]] = []
    claimed = BaseCheck(10**6)
    assert check_base(base, check=claimed, progress=lambda read, total: done.append((read, total))) == []
    assert len(done) == claimed.parts
    assert done[-1][0] == done[-1][1] > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("length", 0), ("length", (1 << 32) - 1), ("key", -1), ("key", 31 << 58), ("key", (1 << 14) - 1)],
)
def test_impossible_facts_are_findings(
    generations: BaseGenerations, tmp_path: Path, field: str, value: int
) -> None:
    """A base without a signature may hold any facts, with digests that agree."""
    base = open_base(generations, "000001", NOBODY, require_signature=False)
    rows = np.frombuffer(memoryview(base.facts), FACTS_ROW).copy()
    rows[field][-1] = value
    (tmp_path / "facts").write_bytes(rows.tobytes())
    with (tmp_path / "facts").open("rb") as file:
        hostile = attrs.evolve(base, facts=map_file(file.fileno()))
    manifest = base.signed.manifest
    hashed = sum(manifest.files[name].parts for name in manifest.file_names if name != SECTORS_FILE)
    found = check_base(hostile, check=BaseCheck(hashed, damaged=[(0, base.archive.nbytes)]))
    assert [each.what for each in found if "are impossible" in each.detail] == ["facts"]
    (finding,) = check_base(hostile, check=BaseCheck(hashed))
    assert finding.what == "tiles.pmtiles"


@pytest.mark.parametrize("field", ["offset", "length"])
def test_directories_are_compared_with_the_facts_in_pieces(
    generations: BaseGenerations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """Whatever the number of tiles, a few of them are looked at together."""
    monkeypatch.setattr(checks, "_ROWS_AT_ONCE", 7)
    assert findings_of(generations) == []
    base = open_base(generations, "000001", NOBODY, require_signature=False)
    manifest = base.signed.manifest
    hashed = sum(manifest.files[name].parts for name in manifest.file_names if name != SECTORS_FILE)
    for victim in (0, 6, 7, len(TILES) - 1):
        rows = np.frombuffer(memoryview(base.facts), FACTS_ROW).copy()
        rows[field][victim] += 1
        path = tmp_path / f"facts-{victim}"
        path.write_bytes(rows.tobytes())
        with path.open("rb") as file:
            other = attrs.evolve(base, facts=map_file(file.fileno()))
        (finding,) = check_base(other, check=BaseCheck(hashed))
        assert finding == BaseFinding(
            "tiles.pmtiles", "its directories and the facts name different tiles or bytes"
        )


@given(st.lists(st.integers(0, 1 << 40), min_size=1, unique=True), st.lists(st.integers(0, 1 << 41)))
def test_a_row_is_found_as_numpy_finds_it(places: list[int], wanted: list[int]) -> None:
    rows = np.zeros(len(places), FACTS_ROW)
    rows["key"] = np.sort(np.array(places, np.int64)) << 14 | 5
    asked = np.array([*places, *wanted], np.int64)
    expected = np.searchsorted(rows["key"] >> 14, asked, "right") - 1
    assert checks._row_numbers(rows["key"], asked).tolist() == np.maximum(expected, 0).tolist()


def test_a_damaged_tile_costs_only_itself(generations: BaseGenerations) -> None:
    path = generations.folder("000001") / "tiles.pmtiles"
    content = path.read_bytes()
    rows = np.frombuffer((generations.folder("000001") / "facts").read_bytes(), FACTS_ROW)
    offset = int(np.sort(rows["offset"])[17])
    assert offset > DATA_OFFSET
    changed = bytearray(content)
    changed[offset + 5] ^= 0x10
    replaced(path, bytes(changed))
    try:
        (finding,) = findings_of(generations)
    finally:
        replaced(path, content)
    victims = [row.tile_id for row, pixels in TILES if content[offset : offset + len(pixels)] == pixels]
    assert [finding.what] == [str(tile_id) for tile_id in victims]
