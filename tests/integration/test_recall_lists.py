"""Which recall list may be put in force: signed by enough pinned keys, and never an older one."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sealed_bases import seal, square

from aerotile.adapters.recall_lists import lists
from aerotile.adapters.recall_lists.list_format import PAYLOAD_TYPE, decode_list, encode_list
from aerotile.adapters.recall_lists.lists import RECALL_LIST_FILES, RecallLists, write_list
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.signatures import Trust, new_envelope, signed, write_new_key
from aerotile.domain.errors import RecallListError
from aerotile.domain.ports.recall_source import RecallInForce
from aerotile.domain.values.areas import Area
from aerotile.domain.values.recall_list import CaptureRange, RecallList
from aerotile.domain.values.shapes import Circle, Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.timestamps import read_time

LIST = RecallList(
    number=7,
    reason="wrong ground at the river",
    digests=["ab" * 32, "01" * 32],
    captured=(CaptureRange(read_time("2024-05-01"), read_time("2024-06-30T12:00:00.000001Z")),),
    areas=(
        Area([Bbox(48.0, 11.4, 48.3, 11.8)], [15, 16]),
        Area([Circle(1 / 3, 2.0, 5_000.1), Polygon([[(0.1, 0.2), (3.0, 0.2), (0.1, 4.0)]])]),
    ),
)


class Site:
    """Two pinned keys, of which both must sign, and a folder of the list in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = [folder / f"{number}.key" for number in range(3)]
        public = [write_new_key(key) for key in self.keys]
        self.trust = Trust((public[0], public[1]), 2)
        self.root = folder / "recall"

    def lists(self) -> RecallLists:
        return RecallLists(self.root, self.trust)

    def signed(self, recalls: RecallList, *signers: int) -> bytes:
        """An envelope, by default with the signatures that it needs."""
        path = self.folder / f"{recalls.number}.json"
        path.unlink(missing_ok=True)
        write_list(path, recalls)
        for number in signers or (0, 1):
            RECALL_LIST_FILES.sign(path, self.keys[number])
        return RECALL_LIST_FILES.read(path)

    def apply(self, envelope: bytes) -> tuple[RecallInForce, bool]:
        return self.lists().apply(envelope, "the list")

    def in_force(self) -> int | None:
        """The number in force, as a process that is started now sees it."""
        found = self.lists().read()
        return None if found is None else found.recalls.number

    @property
    def file(self) -> Path:
        return self.root / "generations" / "000007" / "list.json"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def numbered(number: int, reason: str = "x") -> RecallList:
    return RecallList(number=number, reason=reason, digests=["ab" * 32])


def test_a_list_comes_back_to_the_last_bit_and_the_same_list_gives_the_same_bytes() -> None:
    assert decode_list(encode_list(LIST)) == LIST
    assert encode_list(decode_list(encode_list(LIST))) == encode_list(LIST)


def test_a_signed_list_is_in_force_for_every_process_from_then_on(site: Site) -> None:
    assert site.in_force() is None
    before = site.lists().mark()
    found, is_new = site.apply(site.signed(LIST))
    assert (found.recalls, found.signers, is_new) == (LIST, site.trust.public_keys, True)
    assert site.lists().read() == found
    assert site.lists().mark() != before
    mark = site.lists().mark()
    assert site.apply(site.signed(LIST)) == (found, False)
    assert site.lists().mark() == mark  # a running process has nothing to read
    assert site.apply(site.signed(numbered(12)))[1]
    assert site.in_force() == 12
    assert [path.name for path in (site.root / "generations").iterdir()] == ["000012"]


def change(envelope: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(envelope) | changes).encode()


def changed_list(**changes: Any) -> bytes:
    return json.dumps(json.loads(encode_list(LIST)) | changes).encode()


def forgeries() -> dict[str, Callable[[Site], bytes]]:
    def base(site: Site) -> bytes:
        """A base's manifest, signed with the keys of recalls."""
        seal(site.folder / "base", square(2))
        generations = BaseGenerations(site.folder / "base")
        for key in site.keys[:2]:
            generations.sign("000001", key.read_bytes())
        return (generations.folder("000001") / "manifest.json").read_bytes()

    def renamed_base(site: Site) -> bytes:
        return change(base(site), payloadType=PAYLOAD_TYPE)

    def signed_payload(site: Site, payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
        envelope = new_envelope(payload, kind)
        for key in site.keys[:2]:
            envelope = signed(envelope, kind, key.read_bytes())
        return envelope

    def list_as_base(site: Site) -> bytes:
        """A list that was signed as a base, under the type of a list."""
        envelope = signed_payload(site, encode_list(LIST), "application/vnd.aerotile.base+json")
        return change(envelope, payloadType=PAYLOAD_TYPE)

    def repeated(site: Site) -> bytes:
        envelope = json.loads(site.signed(LIST, 0))
        return json.dumps(envelope | {"signatures": envelope["signatures"] * 2}).encode()

    def of_another(site: Site) -> bytes:
        return change(site.signed(LIST), signatures=json.loads(site.signed(numbered(8)))["signatures"])

    return {
        "no signature: 0 of the 2 pinned keys, 2 are needed": lambda site: change(
            site.signed(LIST), signatures=[]
        ),
        "a stranger's key: 1 of the 2 pinned keys": lambda site: site.signed(LIST, 0, 2),
        "short of the threshold: 1 of the 2 pinned keys": lambda site: site.signed(LIST, 1),
        "one key twice: it is no signed envelope": repeated,
        "signatures of another list: 0 of the 2 pinned keys": of_another,
        "a changed list: 0 of the 2 pinned keys": lambda site: change(
            site.signed(LIST), payload=base64.b64encode(changed_list(number=9)).decode()
        ),
        "endless nonsense by a stranger: 0 of the 2 pinned keys": lambda site: new_envelope(
            b"[" * 200_000, PAYLOAD_TYPE
        ),
        "a base: it holds 'application/vnd.aerotile.base+json'": base,
        "a base under another type: 0 of the 2 pinned keys": renamed_base,
        "a list signed as a base: 0 of the 2 pinned keys": list_as_base,
        "no envelope: it is no signed envelope": lambda site: b"hello",
        "nothing: it is no signed envelope": lambda site: b"",
        "one of two payloads: it is no signed envelope": lambda site: site.signed(LIST).replace(
            b'"payload"', b'"payload": "", "payload"', 1
        ),
        "nested: it is no signed envelope": lambda site: b"[" * 200_000,
        "millions of values: it has more values than an envelope": lambda site: change(
            site.signed(LIST), also=[0] * 20_000
        ),
        "a type without end: it holds '": lambda site: change(site.signed(LIST), payloadType="x" * 1_000_000),
        "a way to recall that is not known: it recalls by datasets": lambda site: signed_payload(
            site, changed_list(recalled={"datasets": ["x"]})
        ),
        "more than a list has: it recalls by also": lambda site: signed_payload(site, changed_list(also=1)),
        "another format: its format is 2": lambda site: signed_payload(site, changed_list(format=2)),
    }


@pytest.mark.parametrize("forgery", forgeries())
def test_a_forged_list_is_refused_in_one_line_and_nothing_changes(site: Site, forgery: str) -> None:
    site.apply(site.signed(numbered(5)))
    pointer = (site.root / "current").read_bytes()
    with pytest.raises(RecallListError) as caught:
        site.apply(forgeries()[forgery](site))
    assert forgery.partition(": ")[2] in str(caught.value)
    assert "\n" not in caught.value.explained
    assert len(caught.value.explained) < 1_000
    assert caught.value.remedy
    assert (site.root / "current").read_bytes() == pointer
    assert site.in_force() == 5


def test_an_older_list_and_another_one_of_the_same_number_are_refused(site: Site) -> None:
    site.apply(site.signed(LIST))
    with pytest.raises(RecallListError, match="recall list 6, which is older than list 7 in force") as caught:
        site.apply(site.signed(numbered(6)))
    assert caught.value.remedy == "make a list with a number above 7"
    with pytest.raises(RecallListError, match="not the recall list 7 that is in force"):
        site.apply(site.signed(numbered(7)))
    assert site.lists().read() == RecallInForce(
        LIST, site.apply(site.signed(LIST))[0].identity, site.trust.public_keys
    )


def test_without_pinned_keys_no_list_is_trusted(site: Site) -> None:
    with pytest.raises(RecallListError, match="no pinned key, 1 are needed"):
        RecallLists(site.root, Trust((), 1)).apply(site.signed(LIST), "the list")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "no signed envelope"),
        (lambda file: file.write_bytes(change(file.read_bytes(), signatures=[])), "0 of the 2 pinned keys"),
        (lambda file: file.unlink(), "can't be read: No such file"),
        (lambda file: (file.unlink(), file.symlink_to("/etc/hostname")), "can't be read"),
        (lambda file: (file.unlink(), file.mkdir()), "can't be read"),
    ],
)
def test_a_damaged_list_in_force_is_refused_and_the_same_list_mends_it(
    site: Site, damage: Callable[[Path], object], words: str
) -> None:
    envelope = site.signed(LIST)
    site.apply(envelope)
    site.file.chmod(0o640)
    damage(site.file)
    with pytest.raises(RecallListError, match=words) as caught:
        site.lists().read()
    assert caught.value.remedy == "apply the list again: aerotile recall apply"
    with pytest.raises(RecallListError, match="older than list 7"):
        site.apply(site.signed(numbered(6)))
    with pytest.raises(RecallListError, match="not the recall list 7"):
        site.apply(site.signed(numbered(7)))
    if site.file.is_dir() and not site.file.is_symlink():
        site.file.rmdir()
    assert site.apply(envelope)[1]
    assert site.in_force() == 7


def test_another_list_in_the_place_of_the_one_that_was_applied_is_refused(site: Site) -> None:
    site.apply(site.signed(LIST))
    for other in (numbered(7, "another"), numbered(8)):
        site.file.unlink()
        site.file.write_bytes(site.signed(other))
        with pytest.raises(RecallListError, match="is not the one that was applied"):
            site.lists().read()


@pytest.mark.parametrize("content", [b"", b"../../x\n", b"000007 zz\n", b"7\n"])
def test_a_damaged_pointer_is_refused_and_an_older_list_still_is(site: Site, content: bytes) -> None:
    envelope = site.signed(LIST)
    site.apply(envelope)
    (site.root / "current").write_bytes(content)
    with pytest.raises(RecallListError, match="names no generation"):
        site.lists().read()
    with pytest.raises(RecallListError, match="older than list 7"):
        site.apply(site.signed(numbered(6)))
    assert site.apply(envelope)[1]
    assert site.in_force() == 7


def test_the_trust_root_may_change_under_a_list_in_force(site: Site) -> None:
    """A list that the new keys did not sign is not trusted any more, until a list of theirs is applied."""
    site.apply(site.signed(LIST))
    site.trust = Trust((site.keys[2].with_name("2.key.pub").read_text().strip(),), 1)
    with pytest.raises(RecallListError, match="0 of the 1 pinned keys"):
        site.lists().read()
    site.apply(site.signed(numbered(8), 2))
    assert site.in_force() == 8


def test_readers_and_writers_at_the_same_time_see_whole_lists_in_ascending_order(site: Site) -> None:
    envelopes = [site.signed(numbered(number)) for number in range(1, 25)]
    site.apply(envelopes[0])
    stopped = threading.Event()
    seen: list[list[int | None]] = [[], []]
    errors: list[Exception] = []

    def read(mine: list[int | None]) -> None:
        try:
            while not stopped.is_set():
                mine.append(site.in_force())
        except Exception as error:  # noqa: BLE001 - a thread hands its error on
            errors.append(error)

    def apply(mine: list[bytes]) -> None:
        for envelope in mine:
            try:
                site.apply(envelope)
            except RecallListError as error:
                if "older than" not in str(error) and "under way" not in str(error):
                    errors.append(error)

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    writers = [threading.Thread(target=apply, args=(envelopes[start::2],)) for start in (0, 1)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stopped.set()
    for thread in readers:
        thread.join()
    site.apply(envelopes[-1])
    assert errors == []
    assert site.in_force() == 24
    for numbers in seen:
        assert None not in numbers
        assert numbers == sorted(number for number in numbers if number is not None)


def test_a_list_that_is_signed_again_is_the_same_list(site: Site) -> None:
    once = site.signed(LIST)
    twice = site.signed(LIST, 1, 0, 2)
    assert site.apply(once)[1]
    assert not site.apply(twice)[1]


def test_a_file_that_is_no_list_is_not_signed_and_stays_as_it_is(site: Site) -> None:
    path = site.folder / "x.json"
    path.write_bytes(b"hello")
    with pytest.raises(RecallListError, match=r"x\.json is no recall list that can be used"):
        RECALL_LIST_FILES.sign(path, site.keys[0])
    write_list(site.folder / "y.json", LIST)
    before = (site.folder / "y.json").read_bytes()
    with pytest.raises(RecallListError, match="can't be signed with"):
        RECALL_LIST_FILES.sign(site.folder / "y.json", path)
    assert (site.folder / "y.json").read_bytes() == before


def test_a_list_that_no_reader_would_take_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_BYTES", (1 << 16) + 1_000)
    digests = [f"{number:064x}" for number in range(20)]
    with pytest.raises(RecallListError, match="a list of 20 entries takes"):
        write_list(tmp_path / "list.json", RecallList(number=1, reason="x", digests=digests))
    assert list(tmp_path.iterdir()) == []
    write_list(tmp_path / "list.json", RecallList(number=1, reason="x", digests=digests[:1]))
