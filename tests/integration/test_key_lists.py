"""Which keys sign bases: a chain of lists, each signed by enough keys of the one before."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sealed_bases import seal, square

from aerotile.adapters import signed_files
from aerotile.adapters.recall_lists.list_format import PAYLOAD_TYPE as RECALL_TYPE
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.key_list import KeyList, decode_key_list
from aerotile.adapters.sealed_base.key_lists import KEY_LIST_FILES, KeyLists, SignedKeyList
from aerotile.adapters.signatures import Trust, new_envelope, signed, write_new_key
from aerotile.domain.errors import BaseSealError, BaseUnavailableError


class Site:
    """Six keys; keys 0 and 1 are pinned, and both must sign."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "base" / "keys"
        self.files = [folder / f"{number}.key" for number in range(6)]
        self.public = [write_new_key(file) for file in self.files]
        self.pinned = Trust((self.public[0], self.public[1]), 2)

    def lists(self, pinned: Trust | None = None, of_recalls: tuple[str, ...] = ()) -> KeyLists:
        return KeyLists(self.root, self.pinned if pinned is None else pinned, of_recalls)

    def list_of(self, number: int, *keys: int, threshold: int = 1) -> KeyList:
        return KeyList(
            number=number, public_keys=tuple(self.public[each] for each in keys), threshold=threshold
        )

    def signed(self, keys: KeyList, *signers: int) -> bytes:
        path = self.folder / "list.json"
        path.unlink(missing_ok=True)
        KEY_LIST_FILES.write(path, keys.encode())
        for number in signers:
            KEY_LIST_FILES.sign(path, self.files[number])
        return KEY_LIST_FILES.read(path)

    def apply(self, keys: KeyList, *signers: int) -> tuple[SignedKeyList, bool]:
        return self.lists().apply(self.signed(keys, *signers), "the list")

    def trusted(self) -> tuple[set[str], int]:
        """As a process that is started now sees it."""
        trust = self.lists().trust()
        return set(trust.public_keys), trust.threshold

    def keys(self, *numbers: int) -> set[str]:
        return {self.public[number] for number in numbers}

    def file(self, number: int) -> Path:
        return self.root / "generations" / f"{number:06d}" / "keys.json"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_without_a_list_the_pinned_keys_count(site: Site) -> None:
    assert site.lists().in_force() is None
    assert site.trusted() == (site.keys(0, 1), 2)
    assert not site.root.exists()


def test_each_list_is_signed_by_the_keys_of_the_list_before(site: Site) -> None:
    first, is_new = site.apply(site.list_of(1, 1, 2, 3, threshold=2), 0, 1)
    assert (is_new, set(first.signers)) == (True, site.keys(0, 1))
    assert site.trusted() == (site.keys(1, 2, 3), 2)
    site.apply(site.list_of(7, 4), 2, 3)
    assert site.trusted() == (site.keys(4), 1)
    site.apply(site.list_of(8, 5), 4)
    assert site.trusted() == (site.keys(5), 1)
    in_force = site.lists().in_force()
    assert in_force is not None
    assert (in_force.keys.number, set(in_force.signers)) == (8, site.keys(4))


def test_the_same_list_again_changes_nothing(site: Site) -> None:
    keys = site.list_of(3, 2)
    assert site.apply(keys, 0, 1)[1]
    assert not site.apply(keys, 0, 1)[1]
    assert not site.apply(keys, 1)[1]  # what counts is the content, which was signed when it was applied
    assert site.trusted() == (site.keys(2), 1)


def _changed(change: Callable[[Any], Any]) -> Callable[[Site], bytes]:
    """An envelope whose signatures are those of another payload."""

    def forge(site: Site) -> bytes:
        envelope = json.loads(site.signed(site.list_of(2, 3), 0, 1))
        payload = json.loads(base64.b64decode(envelope["payload"]))
        envelope["payload"] = base64.b64encode(json.dumps(change(payload)).encode()).decode()
        return json.dumps(envelope).encode()

    return forge


def _signatures(change: Callable[[list[Any]], list[Any]]) -> Callable[[Site], bytes]:
    def forge(site: Site) -> bytes:
        envelope = json.loads(site.signed(site.list_of(2, 3), 0, 1))
        envelope["signatures"] = change(envelope["signatures"])
        return json.dumps(envelope).encode()

    return forge


def _of_another_type(payload_type: str) -> Callable[[Site], bytes]:
    def forge(site: Site) -> bytes:
        envelope = new_envelope(site.list_of(2, 3).encode(), payload_type)
        for number in (0, 1):
            envelope = signed(envelope, payload_type, site.files[number].read_bytes())
        return envelope

    return forge


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda site: site.signed(site.list_of(2, 3)), "is signed by 0 of the 2 pinned keys, 2 are needed"),
        (lambda site: site.signed(site.list_of(2, 3), 0), "is signed by 1 of the 2"),
        (lambda site: site.signed(site.list_of(2, 3), 0, 2), "is signed by 1 of the 2"),
        (lambda site: site.signed(site.list_of(2, 3), 3), "is signed by 0 of the 2"),
        (_signatures(lambda signatures: []), "is signed by 0 of the 2"),
        (_signatures(lambda signatures: signatures[:1] * 2), "is no list of keys|is signed by 1 of the 2"),
        (
            _signatures(lambda both: [one | {"keyid": two["keyid"]} for one, two in zip(both, both[::-1])]),  # noqa: B905
            "is signed by 0 of the 2",
        ),
        (_changed(lambda payload: payload | {"number": 9}), "is signed by 0 of the 2"),
        (_changed(lambda payload: payload | {"threshold": 0}), "threshold must be a whole number"),
        (_changed(lambda payload: payload | {"more": 1}), "it has the members"),
        (_of_another_type(RECALL_TYPE), "it holds 'application/vnd.aerotile.recall"),
        (_of_another_type("application/vnd.aerotile.base+json"), "it holds 'application/vnd.aerotile.base"),
        (lambda site: b"", "is no list of keys"),
        (lambda site: b"[" * 100_000, "is no list of keys"),
    ],
)
def test_a_forged_list_is_refused_in_one_line_and_nothing_changes(
    site: Site, forge: Callable[[Site], bytes], reason: str
) -> None:
    site.apply(site.list_of(1, 0, 1, threshold=2), 0, 1)
    with pytest.raises(BaseUnavailableError, match=reason) as caught:
        site.lists().apply(forge(site), "the list")
    assert "\n" not in str(caught.value)
    assert site.trusted() == (site.keys(0, 1), 2)
    assert [path.name for path in (site.root / "generations").iterdir()] == ["000001"]


def test_keys_of_older_lists_sign_no_newer_one(site: Site) -> None:
    site.apply(site.list_of(1, 2), 0, 1)
    with pytest.raises(BaseUnavailableError, match="is signed by 0 of the 1"):
        site.apply(site.list_of(2, 0, 1), 0, 1)
    assert site.trusted() == (site.keys(2), 1)


def test_an_older_list_and_another_one_of_the_same_number_are_refused(site: Site) -> None:
    site.apply(site.list_of(5, 0, 1), 0, 1)
    with pytest.raises(BaseUnavailableError, match="is list of keys 4, which is older than list 5"):
        site.apply(site.list_of(4, 0, 1), 0, 1)
    with pytest.raises(BaseUnavailableError, match="is not the list of keys 5 that is in force"):
        site.apply(site.list_of(5, 0, 2), 0, 1)
    assert site.trusted() == (site.keys(0, 1), 1)


def test_a_list_that_lies_between_must_be_applied_first(site: Site) -> None:
    between, newest = site.list_of(1, 2), site.list_of(2, 3)
    with pytest.raises(BaseUnavailableError, match="is signed by 0 of the 2") as caught:
        site.apply(newest, 2)
    assert "apply lists that lie between first" in str(caught.value.remedy)
    site.apply(between, 0, 1)
    site.apply(newest, 2)
    assert site.trusted() == (site.keys(3), 1)


def test_keys_that_were_pinned_anew_count_on_from_there(site: Site) -> None:
    site.apply(site.list_of(1, 2), 0, 1)
    site.apply(site.list_of(2, 3), 2)
    pinned = Trust((site.public[2],), 1)
    site.file(1).write_bytes(site.file(1).read_bytes())  # as it is: list 2 is signed by the keys pinned now
    assert site.lists(pinned).trust().public_keys == (site.public[3],)
    newest = site.lists(Trust((site.public[3],), 1)).in_force()
    assert newest is not None
    assert newest.keys.number == 2
    with pytest.raises(BaseUnavailableError, match=r"000001/keys\.json is signed by 0 of the 1"):
        site.lists(Trust((site.public[5],), 1)).trust()


def test_without_pinned_keys_no_list_counts(site: Site) -> None:
    nobody = Trust((), 1)
    with pytest.raises(BaseUnavailableError, match="no key is pinned"):
        site.lists(nobody).apply(site.signed(site.list_of(1, 2), 2), "the list")
    site.apply(site.list_of(1, 2), 0, 1)
    assert site.lists(nobody).trust() == nobody


def test_a_key_of_recalls_never_signs_bases(site: Site) -> None:
    of_recalls = (site.public[4],)
    with pytest.raises(BaseUnavailableError, match=r"the list has a key of recall\.public_keys"):
        site.lists(of_recalls=of_recalls).apply(site.signed(site.list_of(1, 2, 4), 0, 1), "the list")
    assert site.trusted() == (site.keys(0, 1), 2)
    site.apply(site.list_of(1, 2, 4), 0, 1)
    with pytest.raises(BaseUnavailableError, match=r"the list of keys 1 in force has a key of recall"):
        site.lists(of_recalls=of_recalls).trust()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("damage", ["cut", "gone", "swapped", "linked"])
def test_a_damaged_chain_is_refused(site: Site, number: int, damage: str) -> None:
    site.apply(site.list_of(1, 2), 0, 1)
    site.apply(site.list_of(2, 3), 2)
    file = site.file(number)
    content = site.file(3 - number).read_bytes() if damage == "swapped" else file.read_bytes()[:-40]
    file.unlink()
    if damage == "linked":
        (site.folder / "elsewhere").write_bytes(site.signed(site.list_of(number, 5), 0, 1))
        file.symlink_to(site.folder / "elsewhere")
    elif damage != "gone":
        file.write_bytes(content)
    with pytest.raises(BaseUnavailableError) as caught:
        site.lists().trust()
    assert "apply them again" in str(caught.value.remedy)


def test_another_signed_list_in_the_place_of_the_one_in_force_is_refused(site: Site) -> None:
    site.apply(site.list_of(1, 2), 0, 1)
    other = site.signed(site.list_of(1, 3), 0, 1)
    site.file(1).unlink()
    site.file(1).write_bytes(other)
    with pytest.raises(BaseUnavailableError, match="is not the one that was applied"):
        site.lists().trust()


def test_a_list_that_a_crash_left_without_a_pointer_never_counts(site: Site) -> None:
    site.apply(site.list_of(1, 2), 0, 1)
    pointer = (site.root / "current").read_bytes()
    site.apply(site.list_of(2, 3), 2)
    (site.root / "current").write_bytes(pointer)  # as if the power had failed before the rename
    assert site.trusted() == (site.keys(2), 1)
    site.apply(site.list_of(4, 5), 2)
    assert site.trusted() == (site.keys(5), 1)
    assert sorted(path.name for path in (site.root / "generations").iterdir()) == ["000001", "000004"]


def test_a_base_counts_by_the_keys_in_force(site: Site, tmp_path: Path) -> None:
    generations = BaseGenerations(tmp_path / "base")
    for number in (1, 2):
        seal(tmp_path / "base", square(2), number=number)
    generations.sign("000001", site.files[0].read_bytes())
    generations.sign("000001", site.files[1].read_bytes())
    generations.sign("000002", site.files[3].read_bytes())

    def trusted() -> list[bool]:
        trust = site.lists().trust()
        return [generations.manifest(name, trust).is_trusted for name in generations.names()]

    assert generations.names() == ["000001", "000002"]  # the folder of the lists is none
    assert trusted() == [True, False]
    site.apply(site.list_of(1, 2, 3, threshold=1), 0, 1)
    assert trusted() == [False, True]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": 0}, "number must be a whole number within 1"),
        ({"number": True}, "number must be a whole number"),
        ({"threshold": 2}, r"threshold must be a whole number within 1\.\.1, got 2"),
        ({"threshold": 1.0}, "threshold must be a whole number"),
        ({"public_keys": ["AB" * 32]}, "64 lower hexadecimal digits"),
        ({"public_keys": [1]}, "64 lower hexadecimal digits"),
        ({"public_keys": ["ab" * 32] * 2}, "twice"),
        ({"public_keys": []}, "the number of keys must be"),
        ({"public_keys": "ab"}, "public_keys must be a list"),
        ({"public_keys": [f"{number:064x}" for number in range(101)]}, "the number of keys must be"),
        ({"format": 2}, "its format is 2"),
    ],
)
def test_an_impossible_list_is_refused(change: dict[str, Any], reason: str) -> None:
    facts = {"format": 1, "number": 1, "public_keys": ["ab" * 32], "threshold": 1}
    assert decode_key_list(json.dumps(facts).encode()).number == 1
    with pytest.raises(ValueError, match=reason):
        decode_key_list(json.dumps(facts | change).encode())


def test_the_same_list_gives_the_same_bytes() -> None:
    keys = KeyList(number=7, public_keys=("ab" * 32, "01" * 32), threshold=2)
    assert keys.encode() == keys.encode()
    assert decode_key_list(keys.encode()) == keys


def test_a_list_is_not_signed_with_anything_but_a_private_key(site: Site) -> None:
    path = site.folder / "list.json"
    KEY_LIST_FILES.write(path, site.list_of(1, 2).encode())
    before = path.read_bytes()
    (site.folder / "no.key").write_bytes(b"no key")
    with pytest.raises(BaseSealError, match="is no private key"):
        KEY_LIST_FILES.sign(path, site.folder / "no.key")
    assert path.read_bytes() == before


def test_two_signatures_at_a_time_are_both_kept_or_one_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = site.folder / "list.json", signed_files.read_private_key
    KEY_LIST_FILES.write(path, site.list_of(1, 2).encode())
    refusals: list[OSError] = []

    def with_another_beside_it(key_file: Path) -> bytes:
        monkeypatch.setattr(signed_files, "read_private_key", real)
        try:
            KEY_LIST_FILES.sign(path, site.files[1])
        except OSError as refusal:
            refusals.append(refusal)
        return real(key_file)

    monkeypatch.setattr(signed_files, "read_private_key", with_another_beside_it)
    KEY_LIST_FILES.sign(path, site.files[0])
    assert len(json.loads(path.read_bytes())["signatures"]) + len(refusals) == 2
    assert [(one.strerror, one.filename) for one in refusals] == [
        ("another program is writing it", str(path))
    ]
