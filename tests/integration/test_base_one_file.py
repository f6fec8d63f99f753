"""A base in one file: the same bytes each time, read by any tar, and whole or refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from sealed_bases import NOBODY, pixels_of, seal, square, tile

from aerotile.adapters.sealed_base import export, one_file
from aerotile.adapters.sealed_base.export import check_copy
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.one_file import export_file, import_file
from aerotile.adapters.signatures import Trust, write_new_key
from aerotile.domain.errors import BaseSealError, BaseUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

TILES = square(3)


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> BaseGenerations:
    root = tmp_path_factory.mktemp("base")
    seal(root, TILES, number=7)
    return BaseGenerations(root)


@pytest.fixture(scope="module")
def exported(generations: BaseGenerations, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("stick") / "base.tar"
    export_file(generations, "000007", path, NOBODY)
    return path.read_bytes()


def contents(generations: BaseGenerations, name: str = "000007") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in generations.folder(name).iterdir()}


def test_an_import_gives_the_same_files(generations: BaseGenerations, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    signed, digest = export_file(
        generations, "000007", tmp_path / "b.tar", NOBODY, lambda *at: done.append(at)
    )
    assert done[-1][0] == done[-1][1]
    assert digest == hashlib.sha256((tmp_path / "b.tar").read_bytes()).hexdigest()
    assert (tmp_path / "b.tar.sha256").read_text() == f"{digest}  b.tar\n"
    there = BaseGenerations(tmp_path / "there")
    assert import_file(there, tmp_path / "b.tar", NOBODY) == signed
    assert contents(there) == contents(generations)
    assert there.pointer() is None
    assert there.switch_to(None, NOBODY, require_signature=False) == signed


def test_a_second_export_at_the_same_time_is_refused(
    generations: BaseGenerations, exported: bytes, tmp_path: Path
) -> None:
    target, refusals = tmp_path / "b.tar", list[str]()

    def again(done: int, total: int) -> None:
        try:
            export_file(generations, "000007", target, NOBODY)
        except BaseSealError as refusal:
            refusals.append(str(refusal))

    export_file(generations, "000007", target, NOBODY, again)
    assert set(refusals) == {f"000007 can't be copied to {target}: another program is writing it"}
    assert target.read_bytes() == exported
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar", "b.tar.sha256"}


def test_the_same_generation_gives_the_same_file(
    generations: BaseGenerations, exported: bytes, tmp_path: Path
) -> None:
    again = BaseGenerations(tmp_path / "again")
    seal(again.root, list(reversed(TILES)), number=7)
    export_file(again, "000007", tmp_path / "again.tar", NOBODY)
    assert (tmp_path / "again.tar").read_bytes() == exported


def test_any_tar_reads_it(generations: BaseGenerations, exported: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        members = archive.getmembers()
        found = {each.name: archive.extractfile(each).read() for each in members}  # type: ignore[union-attr]
    assert [each.name for each in members[:2]] == ["000007/manifest.json", "000007/digests"]
    assert found == {f"000007/{name}": content for name, content in contents(generations).items()}
    assert {(each.mode, each.mtime, each.uid, each.gid, each.uname) for each in members} == {
        (0o440, 0, 0, 0, "")
    }


def test_signatures_travel_along(tmp_path: Path) -> None:
    here = BaseGenerations(tmp_path / "here")
    seal(here.root, TILES)
    trust = Trust((write_new_key(tmp_path / "a.key"),), 1)
    here.sign("000001", (tmp_path / "a.key").read_bytes())
    export_file(here, "000001", tmp_path / "b.tar", NOBODY)
    there = BaseGenerations(tmp_path / "there")
    assert import_file(there, tmp_path / "b.tar", trust).is_trusted
    assert there.switch_to("000001", trust, require_signature=True).is_trusted


def _cut(content: bytes) -> bytes:
    return content[:-512]


def _grown(content: bytes) -> bytes:
    return content + bytes(512)


def _linked(content: bytes) -> bytes:
    """Another file's name leads out of the folder."""
    at = content.index(b"000007/digests")
    return content[:at] + b"../../digests\0" + content[at + 14 :]


def _of_another_number(content: bytes) -> bytes:
    return content.replace(b"000007/manifest.json", b"000008/manifest.json")


def _with_a_link(content: bytes) -> bytes:
    """The digests become a symbolic link, and the header's checksum is right."""
    at = content.index(b"000007/digests")
    facts = tarfile.TarInfo("000007/digests")
    facts.type, facts.linkname, facts.mode = tarfile.SYMTYPE, "/etc/passwd", 0o440
    return content[:at] + facts.tobuf(tarfile.GNU_FORMAT) + content[at + 512 :]


def _huge(content: bytes) -> bytes:
    """A manifest of petabytes."""
    facts = tarfile.TarInfo("000007/manifest.json")
    facts.size, facts.mode = 1 << 50, 0o440
    return facts.tobuf(tarfile.GNU_FORMAT) + content[512:]


def _padded(content: bytes) -> bytes:
    """A byte hides between the files."""
    size = int(content[124:136].rstrip(b"\0"), 8)
    assert size % 512
    changed = bytearray(content)
    changed[512 + size] = 1
    return bytes(changed)


def _with_a_tile_damaged(content: bytes) -> bytes:
    pixels = TILES[4][1]
    at = content.index(pixels)
    return content[:at] + pixels[:-1] + b"!" + content[at + len(pixels) :]


def _swapped_tail(content: bytes) -> bytes:
    return content[:-1] + b"!"


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda content: b"", "is no whole export of a base: empty header"),
        (lambda content: content[:300], "is no whole export of a base: truncated header"),
        (lambda content: b"PK" + content[2:], "is no whole export of a base: bad checksum"),
        (lambda content: bytes(len(content)), "is no whole export of a base"),
        (_cut, "bytes, not"),
        (_grown, "bytes, not"),
        (_linked, "digests does not lie where it should"),
        (_with_a_link, "digests does not lie where it should"),
        (_of_another_number, "bad checksum"),
        (_huge, "does not begin with a manifest"),
        (_padded, "bytes that no export writes"),
        (_swapped_tail, "does not end as it should"),
        (_with_a_tile_damaged, "the copy of 000007 differs in 1 place"),
    ],
)
def test_a_file_that_is_not_as_an_export_wrote_it_is_refused_and_leaves_nothing(
    exported: bytes, tmp_path: Path, forge: Callable[[bytes], bytes], reason: str
) -> None:
    (tmp_path / "b.tar").write_bytes(forge(exported))
    there = BaseGenerations(tmp_path / "there")
    with pytest.raises(BaseSealError, match=reason):
        import_file(there, tmp_path / "b.tar", NOBODY)
    assert list((tmp_path / "there" / "generations").iterdir()) == []


def test_a_generation_that_is_there_is_not_replaced(
    generations: BaseGenerations, exported: bytes, tmp_path: Path
) -> None:
    (tmp_path / "b.tar").write_bytes(exported)
    before = contents(generations)
    with pytest.raises(BaseSealError, match="holds a generation 000007"):
        import_file(generations, tmp_path / "b.tar", NOBODY)
    with pytest.raises(BaseSealError, match="is there already"):
        export_file(generations, "000007", tmp_path / "b.tar", NOBODY)
    assert contents(generations) == before
    assert (tmp_path / "b.tar").read_bytes() == exported


def test_a_copy_has_no_name_before_it_was_hashed(
    generations: BaseGenerations, exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[list[str]] = []

    def look(copies: BaseGenerations, partial: Path, name: str, trust: Trust) -> None:
        names.append(copies.names())
        check_copy(copies, partial, name, trust)
        names.append(copies.names())

    for module in (export, one_file):
        monkeypatch.setattr(module, "check_copy", look)
    (tmp_path / "b.tar").write_bytes(exported)
    import_file(BaseGenerations(tmp_path / "there"), tmp_path / "b.tar", NOBODY)
    export.export_generation(generations, "000007", tmp_path / "stick", NOBODY)
    assert names == [[]] * 4
    for name in ("there", "stick"):
        assert contents(BaseGenerations(tmp_path / name)) == contents(generations)


@pytest.mark.parametrize("name", ["tiles.pmtiles", "facts", "sectors.json", "digests"])
def test_a_damaged_generation_is_not_exported(tmp_path: Path, name: str) -> None:
    here = BaseGenerations(tmp_path / "here")
    seal(here.root, TILES)
    path = here.folder("000001") / name
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.unlink()
    path.write_bytes(changed)
    with pytest.raises((BaseSealError, BaseUnavailableError)):
        export_file(here, "000001", tmp_path / "b.tar", NOBODY)
    assert [each.name for each in tmp_path.iterdir()] == ["here"]


def test_memory_does_not_grow_with_the_base(tmp_path: Path) -> None:
    """Thirty megabytes of tiles pass through a few chunks."""
    size = 1 << 20
    tiles = [tile(TileId(9, x, 3, TileSource.IMPORTED), pixels_of(x, size)) for x in range(30)]
    seal(tmp_path / "here", tiles)
    tracemalloc.start()
    try:
        export_file(BaseGenerations(tmp_path / "here"), "000001", tmp_path / "b.tar", NOBODY)
        import_file(BaseGenerations(tmp_path / "there"), tmp_path / "b.tar", NOBODY)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 15 * size
