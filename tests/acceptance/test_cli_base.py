"""`aerotile base ...`, as an operator calls it: sealed on the ground, signed, switched to, checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_calls import Call

import aerotile
from aerotile.adapters.composition import close_runtimes


def test_a_generation_is_used_when_enough_pinned_keys_signed_it(sealed: Call, keys: list[str]) -> None:
    pinned = {"AEROTILE_BASE_PUBLIC_KEYS": ", ".join(keys), "AEROTILE_BASE_THRESHOLD": "2"}
    refused = sealed("base", "switch", **pinned)
    assert refused.code == 1
    assert "000001 of the base is signed by 0 of the 2 pinned keys, 2 are needed" in refused.error
    for number in range(2):
        signed = sealed("base", "sign", "000001", "--key", f"{number}.key", "--json", **pinned).json
        assert (signed["signed_by"], signed["trusted"]) == (keys[: number + 1], number == 1)
    facts = sealed("base", "switch", "--json", **pinned).json
    assert (facts["in_use"], facts["trusted"], facts["tiles"]) == (True, True, 3)
    assert sealed("base", "info", "--json", **pinned).json == facts
    checked = sealed("base", "verify", "--max-rate", "1 GiB", **pinned)
    assert (
        checked.out
        == "generation 000001: 3 tiles, every byte as it was sealed; 2 of 2 pinned keys signed it\n"
    )


def test_generations_are_listed_switched_and_rolled_back(sealed: Call) -> None:
    unsigned = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
    assert sealed("base", "seal", "--number", "9").code == 0
    assert sealed("base", "switch", **unsigned).code == 0
    in_use = {f["generation"]: f["in_use"] for f in sealed("base", "list", "--json").json}
    assert in_use == {"000001": False, "000009": True}
    assert sealed("base", "info", "9", "--json").json["generation"] == "000009"
    assert sealed("base", "switch", "1", "--json", **unsigned).json["generation"] == "000001"
    assert sealed("base", "switch", "000009", **unsigned).code == 0
    assert sealed("base", "rollback", "--json", **unsigned).json["generation"] == "000001"
    listed = sealed("base", "list").out.splitlines()
    assert listed[0].split() == ["generation", "in", "use", "tiles", "trusted"]
    assert listed[1].split() == ["000001", "yes", "3", "NO"]


def test_a_rollback_where_no_generation_is_in_use_is_refused(sealed: Call) -> None:
    unsigned = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
    assert sealed("base", "seal", "--number", "9").code == 0
    refused = sealed("base", "rollback", **unsigned)
    assert refused.code == 1
    assert "aerotile-data/base is in use to go back from" in refused.error
    assert "name the one to use: 000001, 000009" in refused.error
    assert not any(one["in_use"] for one in sealed("base", "list", "--json").json)


@pytest.mark.parametrize(
    "target",
    ["", "copies", "generations", "generations/000001", "generations/000001/deep"],
)
def test_a_generation_is_not_exported_among_the_generations(sealed: Call, target: str) -> None:
    base = Path("aerotile-data/base")
    before = sorted(base.rglob("*"))
    Path("link").symlink_to(base)
    for folder in (base / target, Path("link") / target):
        for call in ([str(folder)], ["--file", f"{folder}/b.tar"]):
            refused = sealed("base", "export", "000001", *call)
            assert (refused.code, "a folder of the store's own files" in refused.error) == (2, True)
    assert sorted(base.rglob("*")) == before


def test_a_generation_that_no_flight_could_open_is_not_switched_to(sealed: Call) -> None:
    unsigned = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
    assert sealed("base", "switch", "1", **unsigned).code == 0
    assert sealed("base", "seal", "--number", "9").code == 0
    archive = Path("aerotile-data/base/generations/000009/tiles.pmtiles")
    whole = archive.read_bytes()
    archive.unlink()
    archive.write_bytes(whole[:-1])
    for call in (["switch"], ["switch", "9"]):
        refused = sealed("base", *call, **unsigned)
        assert refused.code == 1
        assert f"tiles.pmtiles has {len(whole) - 1} bytes, not {len(whole)}" in refused.error
    assert sealed("base", "info", "--json", **unsigned).json["generation"] == "000001"


def test_a_base_is_switched_and_checked_without_a_database(sealed: Call) -> None:
    gone = {
        "AEROTILE_DATABASE_DSN": "postgresql://nobody@127.0.0.1:1/none",
        "AEROTILE_BASE_REQUIRE_SIGNATURE": "false",
    }
    for command in (["switch"], ["verify"], ["list"], ["info"]):
        assert sealed("base", *command, **gone).code == 0


def test_an_exported_generation_is_the_same_to_the_byte_and_can_be_used_from_there(sealed: Call) -> None:
    assert sealed("base", "sign", "000001", "--key", key(sealed)).code == 0
    facts = sealed("base", "export", "000001", "stick/base", "--json").json
    assert facts["manifest_sha256"] == sealed("base", "info", "000001", "--json").json["manifest_sha256"]
    here, there = (Path(root) / "base/generations/000001" for root in ("aerotile-data", "stick"))
    files = {path.name: path.read_bytes() for path in here.iterdir()}
    assert {path.name: path.read_bytes() for path in there.iterdir()} == files
    assert sealed("--root", "stick", "base", "switch", AEROTILE_BASE_REQUIRE_SIGNATURE="false").code == 0
    again = sealed("base", "export", "000001", "stick/base")
    assert (again.code, "holds a generation 000001" in again.error) == (1, True)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == files


def test_a_damaged_generation_is_not_exported(sealed: Call) -> None:
    path = Path("aerotile-data/base/generations/000001/tiles.pmtiles")
    content = bytearray(path.read_bytes())
    content[16_384 + 300] ^= 1
    path.unlink()
    path.write_bytes(content)
    result = sealed("base", "export", "000001", "stick")
    assert (result.code, "the copy of 000001 differs in 2 places" in result.error) == (1, True)
    assert list(Path("stick/generations").iterdir()) == []


def key(call: Call) -> str:
    """The file of a new private key."""
    made = call("base", "keygen", "a.key", "--json")
    assert made.code == 0
    public_key = Path("a.key.pub").read_text().strip()
    assert made.json == {"private_key_file": "a.key", "public_key": public_key}
    return "a.key"


def test_damage_is_named_and_the_exit_code_says_so(sealed: Call) -> None:
    path = Path("aerotile-data/base/generations/000001/tiles.pmtiles")
    content = bytearray(path.read_bytes())
    content[16_384 + 300] ^= 1
    path.unlink()
    path.write_bytes(content)
    result = sealed("base", "verify", "000001")
    assert result.code == 1
    assert "findings in generation 000001" in result.err
    assert "imported/" in result.out


def test_an_interrupted_check_is_taken_up_again(sealed: Call) -> None:
    refused = sealed("base", "verify", "000001", "--resume")
    assert (refused.code, "there is no interrupted check" in refused.error) == (2, True)
    identity = sealed("base", "info", "000001", "--json").json["manifest_sha256"]
    left = Path("aerotile-data/base-verify-progress.json")
    finding = ["tiles.index", "as an earlier run found it"]
    facts = {"manifest_sha256": identity, "parts": 1, "findings": [finding], "damaged": []}
    left.write_text(json.dumps(facts))
    resumed = sealed("base", "verify", "000001", "--resume", "--json")
    assert resumed.json["findings"] == [dict(zip(["what", "detail"], finding, strict=True))]
    assert not left.exists()
    for content, reason in (
        (json.dumps(facts | {"manifest_sha256": "ab" * 32}), "is about another generation"),
        (json.dumps(facts | {"parts": -1}), "is not what a check leaves"),
        ("[]", "is not what a check leaves"),
        ("{", "can't be read"),
    ):
        left.write_text(content)
        refused = sealed("base", "verify", "000001", "--resume")
        assert (refused.code, reason in refused.error) == (2, True), refused.err
        assert "run aerotile base verify without --resume" in refused.error


def test_a_base_travels_in_one_file(sealed: Call) -> None:
    unsigned = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
    facts = sealed("base", "export", "000001", "--file", "base-1.tar", "--json").json
    assert Path("base-1.tar.sha256").read_text() == f"{facts['file_sha256']}  base-1.tar\n"
    there = ("--root", "aircraft")
    imported = sealed(*there, "base", "import", "base-1.tar", "--json").json
    assert (imported["manifest_sha256"], imported["in_use"]) == (facts["manifest_sha256"], False)
    assert sealed(*there, "base", "switch", **unsigned).code == 0
    assert sealed(*there, "base", "verify", **unsigned).code == 0
    again = sealed(*there, "base", "import", "base-1.tar")
    assert (again.code, "holds a generation 000001" in again.error) == (1, True)
    Path("base-1.tar").write_bytes(Path("base-1.tar").read_bytes()[:-700])
    cut = sealed("--root", "other", "base", "import", "base-1.tar")
    assert (cut.code, "base-1.tar is no whole export of a base" in cut.error) == (1, True)
    for wrong in ([], ["stick", "--file", "b.tar"]):
        refused = sealed("base", "export", "000001", *wrong)
        assert (refused.code, "is copied to FOLDER or to --file" in refused.error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["info"], 2, "no generation of the base is in use"),
        (["info", "7"], 2, "no generation '000007'"),
        (["sign", "000001", "--key", "nothing.key"], 2, "nothing.key"),
        (["sign", "000001", "--key", "jpeg.key"], 2, "jpeg.key can't sign: it is no private key"),
        (["sign", "000001", "--key", "large.key"], 2, "large.key can't sign: it can't be read: it is larger"),
        (["switch", "9"], 2, "no generation '000009' — name one of 000001"),
        (["seal", "--zoom", "3"], 1, "no tile that the base should take"),
        (["seal", "--number", "1"], 1, "holds a generation 000001"),
        (["seal", "--prefer", "nobody"], 2, "satellite_provider"),
        (["seal", "--prefer", "onboard/x"], 2, "onboard/FLIGHT"),
        (["seal", "--prefer", "onboard"], 2, "--prefer onboard has no effect"),
        (["verify", "--max-rate", "0"], 2, "at least 1 byte"),
        (["rollback"], 1, "is in use to go back from"),
        (["keygen", "jpeg.key"], 2, "jpeg.key is there, and nothing is replaced"),
        (["keygen", "nowhere/a.key"], 2, "nowhere — make it, or name another"),
    ],
)
def test_a_bad_call_ends_in_one_line(sealed: Call, arguments: list[str], code: int, reason: str) -> None:
    Path("jpeg.key").write_bytes(b"no key")
    Path("large.key").write_bytes(bytes(5_000))
    result = sealed("base", *arguments)
    assert (result.code, reason in result.error) == (code, True), result.err


def test_a_list_of_keys_is_refused_by_name(call: Call) -> None:
    for value, reason in (("ab", "64 lower hexadecimal digits"), (f"{'ab' * 32},{'ab' * 32}", "twice")):
        result = call("status", AEROTILE_BASE_PUBLIC_KEYS=value)
        assert result.code == 2
        assert "base.public_keys" in result.error
        assert reason in result.error
    result = call("status", AEROTILE_BASE_PUBLIC_KEYS="ab" * 32, AEROTILE_BASE_THRESHOLD="2")
    assert "base.threshold must not exceed the number of public_keys (1), got 2" in result.error


def test_a_base_is_opened_and_judged_without_any_database(sealed: Call, keys: list[str]) -> None:
    pinned = {"AEROTILE_BASE_PUBLIC_KEYS": keys[0]}
    assert sealed("base", "sign", "000001", "--key", "0.key", **pinned).code == 0
    assert sealed("base", "switch", **pinned).code == 0
    config = aerotile.AerotileConfig(
        root=Path.cwd() / "aerotile-data",
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(public_keys=(keys[0],)),
    )
    base = aerotile.build_sealed_base(config)
    tile_id = aerotile.TileId(7, 60, 1, aerotile.TileSource.IMPORTED)
    with base.read_tile_pixels(tile_id) as handle:
        assert bytes(memoryview(handle)) == Path("tiles/7/60/1.jpg").read_bytes()
    verdict = base.verdict(tile_id)
    assert verdict is not None
    assert verdict.rule.classification is aerotile.SectorClassification.STABLE_REAR
    assert tile_id in base.query_by_bbox(tile_id.bbox, 7).tile_ids()
    close_runtimes()
    kinds = [event["kind"] for event in sealed("record", "--json").json_lines]
    assert kinds[-1] == "c6.base.opened"


def locked_kib() -> int:
    """What this process keeps in memory, KiB."""
    return int(Path("/proc/self/status").read_text().split("VmLck:")[1].split()[0])


@pytest.mark.parametrize("memory", aerotile.BaseMemory)
def test_a_base_is_kept_in_memory_where_the_configuration_says_so(
    sealed: Call, memory: aerotile.BaseMemory
) -> None:
    assert sealed("base", "switch", AEROTILE_BASE_REQUIRE_SIGNATURE="false").code == 0
    config = aerotile.AerotileConfig(
        root=Path("aerotile-data"),
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(require_signature=False, memory=memory),
    )
    before = locked_kib()
    base = aerotile.build_sealed_base(config)
    assert (locked_kib() > before) == (memory is aerotile.BaseMemory.LOCKED)
    assert len(base) == 3
    close_runtimes()
