"""The reference provider behaves badly exactly when it is told to, and in the way it is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from provider_requests import TOKEN, ask_for_votes, headers_of, held, send_to

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.provider.behaviour import (
    Behaviour,
    Fault,
    FaultKind,
    FaultTarget,
    RetryAfterForm,
    parse_fault,
    read_behaviour,
)
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.errors import ConfigurationError
from aerotile.domain.values.tiles import VotingStatus

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


@contextmanager
def sent(provider: ReferenceProvider, body: bytes, length: int) -> Iterator[HTTPConnection]:
    """A client that has sent so much of a request's body, and reads no answer yet."""
    with closing(HTTPConnection("127.0.0.1", provider.port, timeout=60)) as client:
        client.putrequest("POST", "/v1/tiles:batch")
        for name, value in headers_of(body).items():
            client.putheader(name, value)
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[:length])
        yield client


def misbehave(provider: ReferenceProvider, kind: FaultKind, **settings: Any) -> None:
    provider.behaviour = Behaviour(faults=(Fault(kind=kind, **settings),))


def test_a_fault_hits_every_nth_request_until_its_last(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.STATUS, status=500, every=2, until=5)
    assert [send_to(provider.url, batch).status_code for _ in range(7)] == [200, 500, 200, 500, 200, 200, 200]
    assert provider.requests() == 7


def test_a_fault_of_votes_leaves_tiles_alone(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.STATUS, on=FaultTarget.VOTES)
    assert send_to(provider.url, batch).status_code == 200
    assert ask_for_votes(provider.url).status_code == 503


@pytest.mark.parametrize("after_storing", [False, True])
def test_a_failing_request_stores_its_tiles_only_if_it_is_told_to(
    provider: ReferenceProvider, batch: bytes, after_storing: bool
) -> None:
    misbehave(provider, FaultKind.STATUS, after_storing=after_storing)
    assert send_to(provider.url, batch).status_code == 503
    assert held(provider) == (3 if after_storing else 0)


def test_retry_after_comes_as_seconds_or_as_a_date(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.STATUS, status=429, retry_after_s=90)
    assert send_to(provider.url, batch).headers["Retry-After"] == "90"
    misbehave(provider, FaultKind.STATUS, status=429, retry_after_s=90, retry_after_form=RetryAfterForm.DATE)
    text = send_to(provider.url, batch).headers["Retry-After"]
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", text)
    assert 0 < (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds() <= 90


def test_a_reset_in_the_request_stores_nothing(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.RESET_IN_REQUEST)
    # Half of the body: a client still sending may lose the reset to its write, and read an end.
    with sent(provider, batch, len(batch) // 2) as client, pytest.raises(ConnectionResetError):
        client.getresponse()
    assert held(provider) == 0


def test_a_reset_before_the_answer_comes_after_the_tiles_are_stored(
    provider: ReferenceProvider, batch: bytes
) -> None:
    misbehave(provider, FaultKind.RESET_BEFORE_ANSWER)
    with pytest.raises(httpx.ReadError):
        send_to(provider.url, batch)
    assert held(provider) == 3


def test_a_hanging_provider_stores_and_says_nothing(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.HANG, seconds=60)
    with sent(provider, batch, len(batch)) as client:
        while held(provider) < 3:
            time.sleep(0.01)
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.getresponse()


def test_a_truncated_answer_is_shorter_than_it_says(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.TRUNCATE_ANSWER)
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        send_to(provider.url, batch)
    assert held(provider) == 3


def test_a_garbage_answer_is_200_and_no_json(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.GARBAGE_ANSWER)
    answer = send_to(provider.url, batch)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_a_wrong_hash_has_the_form_of_a_hash_and_is_none_of_ours(
    provider: ReferenceProvider, batch: bytes
) -> None:
    misbehave(provider, FaultKind.WRONG_HASH)
    claimed = {result["stored_sha256"] for result in send_to(provider.url, batch).json()["results"]}
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in claimed)
    assert not claimed & set(provider.tiles.hashes().values())


def test_an_answer_may_leave_tiles_out(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.OMIT_TILES)
    assert len(send_to(provider.url, batch).json()["results"]) == 1
    assert held(provider) == 3


def test_a_dripping_answer_is_right_in_the_end(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.DRIP_ANSWER, seconds=0.0001)
    assert len(send_to(provider.url, batch).json()["results"]) == 3


def test_a_gzip_bomb_is_small_on_the_way_and_large_when_unpacked(
    provider: ReferenceProvider, batch: bytes
) -> None:
    misbehave(provider, FaultKind.GZIP_BOMB, unpacked_bytes=20_000_000)
    answer = send_to(provider.url, batch)
    assert len(answer.content) == 20_000_000
    assert answer.num_bytes_downloaded < 25_000


def test_a_redirect_names_the_place_it_was_told(provider: ReferenceProvider, batch: bytes) -> None:
    misbehave(provider, FaultKind.REDIRECT, location="http://127.0.0.1:9/elsewhere")
    answer = send_to(provider.url, batch)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")


def test_a_closing_provider_does_not_wait_for_what_hangs(tmp_path: Path, batch: bytes) -> None:
    behaviour = Behaviour(faults=(Fault(kind=FaultKind.DRIP_ANSWER, seconds=30),))
    with (
        ReferenceProvider(tmp_path / "provider", Secret(TOKEN), behaviour=behaviour) as running,
        pytest.raises(httpx.ReadTimeout),
    ):
        send_to(running.url, batch, timeout_s=0.3)


def test_faults_read_from_an_option_are_those_it_names() -> None:
    assert parse_fault("reset_before_answer") == Fault(kind=FaultKind.RESET_BEFORE_ANSWER)
    assert parse_fault("status,status=429,every=3,retry_after_s=2,retry_after_form=date") == Fault(
        kind=FaultKind.STATUS,
        status=429,
        every=3,
        retry_after_s=2,
        retry_after_form=RetryAfterForm.DATE,
    )
    assert parse_fault("redirect,location=http://127.0.0.1:9/").location == "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", "kind: 'explode' is not valid"),
        ("status,colour=red", "there is no setting 'colour'"),
        ("status,every=0", "every"),
        ("status,every=often", "every must be of type int"),
        ("status,status=200", "status"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_fault(text)


def test_a_behaviour_file_holds_everything(tmp_path: Path) -> None:
    tile = "fc29fd9c-1c0a-53ef-8b46-0df12ce73f18"
    path = tmp_path / "behaviour.json"
    path.write_text(
        json.dumps(
            {
                "faults": [{"kind": "hang", "on": "votes", "seconds": 3}],
                "refused": {tile: "cloudy"},
                "verdict": "trusted",
                "verdicts": {tile: "rejected"},
                "max_body_bytes": 1000,
            }
        )
    )
    behaviour = read_behaviour(path)
    assert behaviour.faults == (Fault(kind=FaultKind.HANG, on=FaultTarget.VOTES, seconds=3.0),)
    assert [str(name) for name in behaviour.refused] == [tile]
    assert behaviour.verdict is VotingStatus.TRUSTED
    assert list(behaviour.verdicts.values()) == [VotingStatus.REJECTED]
    assert behaviour.max_body_bytes == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"no_such": 1}',
        '{"faults": {}}',
        '{"faults": [{}]}',
        '{"refused": {"one": "x"}}',
        '{"refused": []}',
        '{"verdict": "upload_giveup"}',
        '{"max_tiles": 257}',
        '{"max_tiles": true}',
    ],
)
def test_a_behaviour_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "behaviour.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(str(path))):
        read_behaviour(path)


DOCUMENTATION = Path(__file__).parents[3] / "docs" / "upload.md"


def test_the_behaviour_file_in_the_documentation_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [block for block in blocks if '"faults"' in block]
    (tmp_path / "behaviour.json").write_text(text)
    assert len(read_behaviour(tmp_path / "behaviour.json").faults) == 2


def test_the_documentation_has_a_line_for_each_kind_of_fault() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8").partition("## The reference provider")[2]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [kind.value for kind in FaultKind]
