"""Which generation of a base may be used: signed by enough pinned keys, never an older one by accident."""

from __future__ import annotations

import base64
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from sealed_bases import NOBODY, seal, square

from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import open_base, open_current_base
from aerotile.adapters.signatures import Trust, write_new_key
from aerotile.domain.errors import BaseSealError, BaseUnavailableError


@pytest.fixture
def keys(tmp_path: Path) -> list[tuple[str, bytes]]:
    """Three key pairs: the public key and the private one's PEM."""
    paths = [tmp_path / f"{number}.key" for number in range(3)]
    return [(write_new_key(path), path.read_bytes()) for path in paths]


@pytest.fixture
def generations(tmp_path: Path) -> BaseGenerations:
    root = tmp_path / "base"
    for width in (2, 3, 4):
        seal(root, square(width))
    return BaseGenerations(root)


def envelope_of(generations: BaseGenerations, name: str) -> Path:
    return generations.folder(name) / "manifest.json"


def change(path: Path, **changes: Any) -> None:
    facts = json.loads(path.read_bytes()) | changes
    path.unlink()
    path.write_bytes(json.dumps(facts).encode())


def switched(generations: BaseGenerations, name: str | None = None, trust: Trust = NOBODY) -> str:
    opened = generations.switch_to(name, trust, require_signature=trust is not NOBODY)
    assert generations.current() == opened.manifest.name
    return opened.manifest.name


def test_as_many_pinned_keys_as_the_threshold_must_have_signed(
    generations: BaseGenerations, keys: list[tuple[str, bytes]]
) -> None:
    (first, first_pem), (second, second_pem), (_, stranger_pem) = keys
    trust = Trust((first, second), 2)
    name = "000003"
    with pytest.raises(BaseUnavailableError, match="0 of the 2 pinned keys, 2 are needed"):
        switched(generations, name, trust)
    for pem in (first_pem, first_pem, stranger_pem):  # twice by one key, and once by one that is not pinned
        generations.sign(name, pem)
        with pytest.raises(BaseUnavailableError, match="1 of the 2 pinned keys, 2 are needed"):
            switched(generations, name, trust)
    generations.sign(name, second_pem)
    assert switched(generations, name, trust) == name
    assert generations.manifest(name, trust).signers == (first, second)
    assert open_current_base(generations.root, trust, require_signature=True).signed.is_trusted


@pytest.mark.parametrize("most_bytes", [10, 100])
def test_a_disk_that_takes_no_key_whole_keeps_none_of_the_two_files(tmp_path: Path, most_bytes: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))  # a public key has 65 bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            write_new_key(tmp_path / "new.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_without_pinned_keys_nothing_is_trusted(
    generations: BaseGenerations, keys: list[tuple[str, bytes]]
) -> None:
    generations.sign("000003", keys[0][1])
    with pytest.raises(BaseUnavailableError, match="no pinned key"):
        generations.switch_to("000003", NOBODY, require_signature=True)
    assert generations.current() is None
    assert not generations.manifest("000003", NOBODY).is_trusted


def test_a_signature_counts_for_its_own_manifest_alone(
    generations: BaseGenerations, keys: list[tuple[str, bytes]]
) -> None:
    trust = Trust((keys[0][0],), 1)
    for name in ("000001", "000002", "000003"):
        generations.sign(name, keys[0][1])
    signed = json.loads(envelope_of(generations, "000003").read_bytes())
    other = json.loads(envelope_of(generations, "000002").read_bytes())
    payload = base64.b64decode(signed["payload"])
    forged = base64.b64encode(payload.replace(b'"tiles": 16', b'"tiles": 15')).decode()
    assert forged != signed["payload"]
    path = envelope_of(generations, "000003")
    for changes in (
        {"payload": forged},
        {"signatures": []},
        {"signatures": other["signatures"]},
        {"payload": other["payload"], "signatures": other["signatures"]},
        {"payloadType": "text/plain"},
        {"signatures": signed["signatures"] * 2},
        {"signatures": [{"keyid": signed["signatures"][0]["keyid"], "sig": ""}]},
        {"payload": 7},
    ):
        change(path, **signed | changes)
        with pytest.raises(BaseUnavailableError):
            switched(generations, "000003", trust)
    change(path, **signed)
    assert switched(generations, "000003", trust) == "000003"


def test_an_older_generation_than_the_last_in_use_must_be_named(generations: BaseGenerations) -> None:
    assert switched(generations) == "000003"
    shutil.rmtree(generations.folder("000003"))
    with pytest.raises(BaseUnavailableError, match="000002 is older than 000003, which was the last in use"):
        switched(generations)
    assert switched(generations, "000002") == "000002"
    assert switched(generations) == "000002"


def test_another_base_under_the_number_of_the_last_in_use_is_refused(
    generations: BaseGenerations, tmp_path: Path
) -> None:
    switched(generations, "000002")
    other = tmp_path / "other"
    seal(other, square(5), number=2)
    shutil.rmtree(generations.folder("000002"))
    shutil.copytree(other / "generations" / "000002", generations.folder("000002"))
    with pytest.raises(BaseUnavailableError, match="not the one that was in use under this number"):
        switched(generations, "000002")
    with pytest.raises(BaseUnavailableError, match="not the one that was switched to"):
        open_current_base(generations.root, NOBODY, require_signature=False)


def test_a_generation_under_another_number_is_refused(generations: BaseGenerations) -> None:
    generations.folder("000003").rename(generations.folder("000009"))
    with pytest.raises(BaseUnavailableError, match="its manifest is that of generation 000003"):
        switched(generations)


def test_a_damaged_pointer_is_overcome_by_naming_a_generation(generations: BaseGenerations) -> None:
    (generations.root / "current").write_bytes(b"\x00garbage")
    with pytest.raises(BaseUnavailableError, match="names no generation"):
        switched(generations)
    assert switched(generations, "000001") == "000001"


def test_a_rollback_goes_to_the_one_before(generations: BaseGenerations) -> None:
    switched(generations)
    assert switched(generations, generations.previous()) == "000002"
    assert switched(generations, generations.previous()) == "000001"
    with pytest.raises(BaseUnavailableError, match="no generation older"):
        generations.previous()


def test_a_base_that_is_opened_during_a_switch_is_the_old_one_or_the_new_one(
    generations: BaseGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched(generations, "000001")
    pointer, waiting = BaseGenerations.pointer, ["000002"]

    def read_before_a_switch(self: BaseGenerations) -> tuple[str, str | None] | None:
        found = pointer(self)
        if waiting:
            switched(generations, waiting.pop())
        return found

    monkeypatch.setattr(BaseGenerations, "pointer", read_before_a_switch)
    opened = open_current_base(generations.root, NOBODY, require_signature=False)
    assert opened.signed.manifest.name == "000001"


def test_links_in_a_generation_are_not_followed(generations: BaseGenerations, tmp_path: Path) -> None:
    for name in ("facts", "tiles.pmtiles", "digests", "sectors.json", "manifest.json"):
        path = generations.folder("000003") / name
        elsewhere = tmp_path / name
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        with pytest.raises(BaseUnavailableError):
            open_base(generations, "000003", NOBODY, require_signature=False)
        path.unlink()
        elsewhere.rename(path)
    open_base(generations, "000003", NOBODY, require_signature=False)


def test_swapped_cut_and_grown_files_are_refused(generations: BaseGenerations) -> None:
    for name in ("facts", "tiles.pmtiles", "digests", "sectors.json"):
        path = generations.folder("000003") / name
        content = path.read_bytes()
        other = (generations.folder("000002") / name).read_bytes()
        for changed in (content[:-1], content + b"\0", b"", *([other] if other != content else [])):
            path.unlink()
            path.write_bytes(changed)
            with pytest.raises(BaseUnavailableError):
                open_base(generations, "000003", NOBODY, require_signature=False)
        path.unlink()
        path.write_bytes(content)
    open_base(generations, "000003", NOBODY, require_signature=False)


def test_a_second_seal_or_switch_beside_another_is_refused(generations: BaseGenerations) -> None:
    with generations.locked():
        with pytest.raises(BaseSealError, match="under way"):
            seal(generations.root, square(2))
        with pytest.raises(BaseSealError, match="under way"):
            switched(BaseGenerations(generations.root))


def test_a_private_key_is_its_owners_alone_and_is_never_overwritten(tmp_path: Path) -> None:
    public = write_new_key(tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "a.key.pub").read_text() == f"{public}\n"
    with pytest.raises(FileExistsError):
        write_new_key(tmp_path / "a.key")
    (tmp_path / "b.key.pub").touch()
    with pytest.raises(FileExistsError, match=r"b\.key\.pub"):
        write_new_key(tmp_path / "b.key")
    assert not (tmp_path / "b.key").exists()


# Of a curve that OpenSSL knows and no signature here uses (SM2).
SM2_KEY = b"""-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgyGXEvVlJyMmT7A+K
ybWThNpvWhERHax4JHN7K0DEQzGhRANCAAQr/RzK4a3C63OTs1tk9pPuhIeuF44a
CnMrFZqZutfgr37+r3VbyNrwyvTI8Ed6VDHUm7I0zoWvD/kIBndCv84R
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "pem", [b"", SM2_KEY, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 99]
)
def test_what_is_no_private_key_signs_nothing(generations: BaseGenerations, pem: bytes) -> None:
    before = envelope_of(generations, "000001").read_bytes()
    with pytest.raises(BaseSealError, match="can't be signed"):
        generations.sign("000001", pem)
    assert envelope_of(generations, "000001").read_bytes() == before
