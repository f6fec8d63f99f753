"""`aerotile base keys ...`: an aircraft's keys are replaced by a list that the keys before have signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call


@pytest.fixture
def keys(call: Call) -> list[str]:
    """The public keys of `0.key` to `3.key`."""
    return [call("base", "keygen", f"{number}.key").out.strip() for number in range(4)]


@pytest.fixture
def flying(call: Call, keys: list[str], xyz_folder: Callable[..., Path]) -> Call:
    """The command on an aircraft that flies by a base of key 0; keys 0 and 1 signed `000002`."""

    def calling(*arguments: str, **environment: str) -> object:
        pinned = {"AEROTILE_BASE_PUBLIC_KEYS": keys[0], "AEROTILE_RECALL_PUBLIC_KEYS": keys[3]}
        return call(*arguments, **pinned | environment)

    assert calling("ingest", xyz_folder(count=3), "--captured-at", "2026-05-01").code == 0
    for name, signers in (("000001", (0,)), ("000002", (0, 1))):
        assert calling("base", "seal").code == 0
        for number in signers:
            assert calling("base", "sign", name, "--key", f"{number}.key").code == 0
    assert calling("base", "switch", "000001").code == 0
    return calling


def make(call: Call, file: str, number: int, key: str, *signers: int) -> None:
    made = call("base", "keys", "make", file, "--number", str(number), "--threshold", "1", "--key", key)
    assert made.code == 0, made.err
    for signer in signers:
        assert call("base", "keys", "sign", file, "--key", f"{signer}.key").code == 0


def test_keys_are_replaced_and_the_base_must_be_signed_by_the_new_ones(flying: Call, keys: list[str]) -> None:
    assert flying("base", "keys", "list", "--json").json == {
        "number": 0,
        "public_keys": [keys[0]],
        "threshold": 1,
    }
    make(flying, "new.json", 1, keys[1], 0)
    assert flying("base", "keys", "list", "new.json", "--json").json["signed_by"] == [keys[0]]
    refused = flying("base", "keys", "apply", "new.json")
    assert refused.code == JOB_FAILED
    assert "generation 000001 of the base, which is in use, is signed by 0 of the 1" in refused.error
    assert "first switch to a generation that keys of the list signed too" in refused.error
    assert flying("base", "switch", "000002").code == 0
    applied = flying("base", "keys", "apply", "new.json", "--json").json
    assert (applied["applied"], applied["number"], applied["public_keys"]) == (True, 1, [keys[1]])
    assert flying("base", "keys", "apply", "new.json", "--json").json["applied"] is False
    info = flying("base", "info", "--json").json
    assert (info["signed_by"], info["trusted"]) == ([keys[1]], True)
    withdrawn = flying("base", "switch", "000001")
    assert (withdrawn.code, "is signed by 0 of the 1" in withdrawn.error) == (JOB_FAILED, True)
    assert flying("status").code == 0
    listed = flying("base", "keys", "list").out
    assert keys[1] in listed
    assert keys[0] in listed  # which signed it


def test_a_stolen_key_is_put_out_of_force_though_the_base_in_use_has_no_other(
    flying: Call, keys: list[str]
) -> None:
    make(flying, "new.json", 1, keys[1], 0)
    Path("aerotile-data/base/current").write_text("damaged\n")
    refused = flying("base", "keys", "apply", "new.json")
    assert (refused.code, "names no generation" in refused.error) == (JOB_FAILED, True)
    assert flying("base", "keys", "apply", "new.json", "--force").code == 0
    checked = flying("base", "verify", "000001")
    assert (checked.code, "is signed by 0 of the 1" in checked.err) == (JOB_FAILED, True)
    assert flying("base", "switch", "000002").code == 0


def test_recalls_have_their_keys_as_before(flying: Call, keys: list[str]) -> None:
    made = ["withdrawn.json", "--number", "1", "--reason", "x", "--bbox", "11,48,12,49"]
    assert flying("recall", "make", *made).code == 0
    for signer in ("1.key", "0.key"):
        assert flying("recall", "sign", "withdrawn.json", "--key", signer).code == 0
    make(flying, "new.json", 1, keys[1], 0)
    assert flying("base", "keys", "apply", "new.json", "--force").code == 0
    refused = flying("recall", "apply", "withdrawn.json")
    assert (refused.code, "is signed by 0 of the 1 pinned keys" in refused.error) == (JOB_FAILED, True)
    assert flying("recall", "sign", "withdrawn.json", "--key", "3.key").code == 0
    assert flying("recall", "apply", "withdrawn.json").code == 0
    make(flying, "shared.json", 2, keys[3], 1)
    refused = flying("base", "keys", "apply", "shared.json", "--force")
    assert (refused.code, "has a key of recall.public_keys" in refused.error) == (JOB_FAILED, True)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["apply", "nothing.json"], BAD_CALL, "nothing.json"),
        (["apply", "0.key"], JOB_FAILED, "0.key is no list of keys"),
        (["apply", "stranger.json"], JOB_FAILED, "is signed by 0 of the 1 pinned keys, 1 are needed"),
        (["list", "stranger.json"], JOB_FAILED, "is signed by 0 of the 1 pinned keys, 1 are needed"),
        (["sign", "stranger.json", "--key", "0.key.pub"], JOB_FAILED, "is no private key"),
        (["make", "a.json", "--number", "1", "--threshold", "1", "--key", "ab"], BAD_CALL, "64 lower hex"),
        (["make", "a.json", "--number", "1", "--threshold", "1"], BAD_CALL, "--key"),
        (["make", "a.json", "--number", "0", "--threshold", "1", "--key", "ab" * 32], BAD_CALL, "0"),
        (
            ["make", "a.json", "--number", "1", "--threshold", "2", "--key", "ab" * 32],
            BAD_CALL,
            "threshold must be a whole number within 1..1, got 2",
        ),
        (
            ["make", "stranger.json", "--number", "1", "--threshold", "1", "--key", "ab" * 32],
            BAD_CALL,
            "is there, and nothing is replaced",
        ),
    ],
)
def test_a_bad_call_ends_in_one_line(
    call: Call, keys: list[str], arguments: list[str], code: int, reason: str
) -> None:
    make(call, "stranger.json", 1, keys[2], 2)
    Path("aerotile-data/base").mkdir(parents=True)
    result = call("base", "keys", *arguments, AEROTILE_BASE_PUBLIC_KEYS=keys[0])
    assert (result.code, reason in result.error) == (code, True), result.err
    assert not Path("a.json").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_private_key_that_others_have_rights_to_signs_nothing_until_they_have_none(
    sealed: Call, keys: list[str], mode: int
) -> None:
    made = ("recall", "make", "recall.json", "--number", "1", "--reason", "forged", "--digest", "ab" * 32)
    assert sealed(*made).code == 0
    listed = ("base", "keys", "make", "keys.json", "--number", "1", "--threshold", "1", "--key", keys[0])
    assert sealed(*listed).code == 0
    Path("0.key").chmod(mode)
    for signing in (
        ("base", "sign", "000001"),
        ("base", "keys", "sign", "keys.json"),
        ("recall", "sign", "recall.json"),
    ):
        refused = sealed(*signing, "--key", "0.key")
        assert refused.code in (BAD_CALL, JOB_FAILED)
        assert f"other users have rights to it (mode {mode:04o}) — chmod 600 0.key; " in refused.error
    assert (
        sealed("base", "info", "000001", "--json", AEROTILE_BASE_PUBLIC_KEYS=keys[0]).json["signed_by"] == []
    )
    Path("0.key").chmod(0o600)
    assert sealed("base", "sign", "000001", "--key", "0.key").code == 0
