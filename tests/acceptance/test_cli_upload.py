"""`aerotile upload` and `aerotile uploads` as an operator uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.values.tiles import VotingStatus

TOKEN = "t0ps3cr3t-t0k3n"
TILE = "onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/18/{}/90123"


@pytest.fixture
def flown(call: Call, tmp_path: Path, migrated_database: str, onboard_tile: Call) -> list[Any]:
    """Three tiles in the store, beside which `call` runs, that the aircraft made."""
    config = AerotileConfig(
        root=tmp_path / "aerotile-data", database=DatabaseConfig(dsn=Secret(migrated_database))
    )
    tiles = [onboard_tile(x) for x in range(3)]
    with Runtime(config) as runtime:
        assert all(outcome.stored for outcome in runtime.tile_store.write_tiles(tiles))
    return [metadata.tile_id for _, metadata in tiles]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(tmp_path / "provider", Secret(TOKEN)) as running:
        yield running


@pytest.fixture
def upload(call: Call, provider: ReferenceProvider, tmp_path: Path) -> Call:
    """Call `aerotile upload` with a configuration file that names the provider."""
    (tmp_path / "token").write_text(TOKEN + "\n")

    def run(*arguments: str, **settings: object) -> Any:
        lines = [f"{name} = {value}" for name, value in {"backoff_cap_s": 0.01, **settings}.items()]
        (tmp_path / "aerotile.toml").write_text(
            "\n".join(["[upload]", f'url = "{provider.url}"', 'token_file = "token"', *lines])
        )
        return call("upload", *arguments)

    return run


@pytest.mark.usefixtures("flown")
def test_an_upload_says_what_it_did_and_a_second_one_finds_nothing_to_do(
    upload: Call, provider: ReferenceProvider
) -> None:
    result = upload()
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("3 tiles uploaded, 0 given up, 0 left pending; 900 bytes in ")
    assert len(provider.tiles.hashes()) == 3
    assert upload().out.startswith("0 tiles uploaded, 0 given up, 0 left pending; 0 bytes in ")


@pytest.mark.usefixtures("flown")
def test_the_facts_of_an_upload_are_json(upload: Call, provider: ReferenceProvider) -> None:
    facts = upload("--json").json
    assert facts.pop("seconds") >= 0
    assert facts == {
        "outcome": "success",
        "accepted": 3,
        "duplicates": 0,
        "rejected": [],
        "unanswered": [],
        "given_up": [],
        "problem": None,
        "retries": 0,
        "next_retry_at": None,
        "provider": provider.url,
        "uploaded_bytes": 900,
        "left": 0,
        "left_bytes": 0,
        "interrupted": False,
    }


@pytest.mark.usefixtures("flown")
def test_a_dry_run_sends_nothing(upload: Call, provider: ReferenceProvider) -> None:
    assert upload("--dry-run").out == f"3 tiles, 900 bytes, would go to {provider.url}\n"
    assert upload("--dry-run", "--json").json == {
        "provider": provider.url,
        "tiles": 3,
        "bytes": 900,
        "dry_run": True,
    }
    assert provider.requests() == 0


def test_a_refused_tile_is_given_up_and_an_operator_gives_it_another_life(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    provider.behaviour = Behaviour(refused={flown[1].tile_uuid: "over the border"})
    result = upload(max_per_tile_attempts=2)
    assert result.code == 1
    assert f"given up: {flown[1]}: refused: over the border" in result.err
    assert f"error: 1 tile was given up, such as {flown[1]}: refused: over the border — mend" in result.err
    assert result.out.startswith("2 tiles uploaded, 1 given up, 0 left pending")
    listed = call("uploads")
    assert listed.out.splitlines()[-1] == "0 pending, 2 uploaded, 1 given up, 0 voted out"
    (line,) = [line for line in listed.out.splitlines() if str(flown[1]) in line]
    assert " ".join(line.split()) == f"{flown[1]} given_up 2 2 rejected refused: over the border"

    assert call("uploads", "requeue", flown[1], "--json").json == [{"tile": str(flown[1]), "generation": 2}]
    (entry,) = call("uploads", "--state", "pending", "--json").json_lines
    assert (entry["tile"], entry["generation"], entry["upload_attempts"]) == (str(flown[1]), 2, 0)
    provider.behaviour = Behaviour()
    assert upload().code == 0
    assert call("uploads", "--state", "given_up").out == "0 pending, 3 uploaded, 0 given up, 0 voted out\n"


def test_every_given_up_tile_can_be_requeued_at_once(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    provider.behaviour = Behaviour(refused={tile_id.tile_uuid: "no" for tile_id in flown})
    assert upload(max_per_tile_attempts=1).code == 1
    result = call("uploads", "requeue", "--all")
    assert result.out.splitlines()[-1] == "3 tiles requeued"
    assert len(call("uploads", "--state", "pending", "--json").json_lines) == 3


def test_tiles_that_were_requeued_before_one_that_is_refused_are_named(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    provider.behaviour = Behaviour(refused={flown[1].tile_uuid: "no"})
    assert upload(max_per_tile_attempts=1).code == 1
    result = call("uploads", "requeue", flown[1], flown[0])
    assert result.code == 1
    assert f"{flown[1]} is pending again" in result.out
    assert f"error: only a given-up tile can be requeued; the vote of {flown[0]} is" in result.err
    assert "1 tile requeued" in result.out


def test_a_tile_that_is_named_twice_is_requeued_once(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    provider.behaviour = Behaviour(refused={flown[1].tile_uuid: "no"})
    assert upload(max_per_tile_attempts=1).code == 1
    result = call("uploads", "requeue", flown[1], flown[1])
    assert (result.code, result.out.splitlines()[-1]) == (0, "1 tile requeued")


def test_without_the_retries_nothing_is_counted_or_given_up(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    provider.behaviour = Behaviour(refused={flown[0].tile_uuid: "no"})
    result = upload(max_per_tile_attempts=1, disable_retry_decorator="true")
    assert result.code == 1
    assert "error: 1 tile is left pending: refused: no" in result.err
    (entry,) = call("uploads", "--state", "pending", "--json").json_lines
    assert entry["upload_attempts"] == 0


def test_a_tile_whose_file_is_gone_is_named_and_the_others_go_up(
    upload: Call, tmp_path: Path, flown: list[Any]
) -> None:
    (path,) = (tmp_path / "aerotile-data" / "tiles").rglob(f"{flown[2].x}/{flown[2].y}.jpg")
    path.unlink()
    result = upload(max_in_call_retries=0)
    assert result.code == 1
    assert result.out.startswith("2 tiles uploaded, 0 given up, 1 left pending")
    assert f"rejected: {flown[2]}: file_missing" in result.err


def test_votes_that_the_provider_has_cast_are_pulled_once(
    upload: Call, call: Call, provider: ReferenceProvider, flown: list[Any]
) -> None:
    verdicts = {flown[0].tile_uuid: VotingStatus.REJECTED}
    provider.behaviour = Behaviour(verdict=VotingStatus.TRUSTED, verdicts=verdicts)
    assert upload().code == 0
    assert call("uploads", "votes").out == "3 votes read, 3 tiles moved, 0 not known here\n"
    listed = call("uploads", "--json").json_lines
    assert {entry["tile"]: entry["voting_status"] for entry in listed} == {
        str(flown[0]): "rejected",
        str(flown[1]): "trusted",
        str(flown[2]): "trusted",
    }
    assert {entry["state"] for entry in listed} == {"uploaded"}
    assert call("uploads", "votes", "--json").json["moved"] == 0


@pytest.mark.usefixtures("upload", "flown")
def test_votes_that_can_not_be_read_fail_the_command(upload: Call, call: Call, tmp_path: Path) -> None:
    upload()
    (tmp_path / "token").write_text("another")
    result = call("uploads", "votes")
    assert result.code == 1
    assert "error: not all votes could be read: http_401" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("upload",), "upload.url is not set, so there is no provider to upload to"),
        (("uploads", "requeue"), "name the tiles, or give --all"),
        (("uploads", "requeue", "onboard/1/2/3"), "'onboard/1/2/3' is no tile id"),
        (("uploads", "requeue", "--all", TILE.format(1)), "name the tiles, or give --all"),
        (("uploads", "requeue", TILE.format(7)), f"no tile {TILE.format(7)} in the store"),
        (("uploads", "requeue", TILE.format(1)), "only a given-up tile can be requeued"),
        (("uploads", "--state", "lost"), "invalid value for '--state'"),
        (("uploads", "--state", "given_up", "requeue", "--all"), "--state before requeue is for the list"),
        (("uploads", "--json", "votes"), "--json before votes is for the list"),
        (("uploads", "lsit"), "no command 'lsit'"),
    ],
)
@pytest.mark.usefixtures("flown")
def test_a_bad_call_is_answered_on_one_line(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.code in (1, 2)
    assert message in result.error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read upload.token_file"),
        (b"", "holds no bearer token"),
        (b"two words", "holds no bearer token"),
        (b"hidden\r\nX-Evil: 1", "holds no bearer token"),
        (b"\xff\xfehidden", "holds no bearer token"),
        (b"hidden" * 10_000, "it is larger than 8192 bytes"),
    ],
)
@pytest.mark.usefixtures("flown")
def test_a_token_file_without_a_token_is_refused_unshown(
    call: Call, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    result = call("upload", AEROTILE_UPLOAD_URL="http://127.0.0.1:9", AEROTILE_UPLOAD_TOKEN_FILE="token")
    assert result.code == 2
    assert message in result.error
    assert "hidden" not in result.error


@pytest.mark.usefixtures("flown")
def test_no_token_at_all_is_refused(call: Call) -> None:
    result = call("upload", AEROTILE_UPLOAD_URL="http://127.0.0.1:9")
    assert result.code == 2
    assert "no token for the provider is set" in result.error


def test_a_store_that_is_not_there_is_not_made(call: Call) -> None:
    for command in (("upload",), ("uploads",), ("uploads", "requeue", "--all")):
        assert "no folder" in call("--root", "elsewhere", *command).error
