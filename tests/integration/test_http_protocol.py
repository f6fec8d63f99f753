"""Bodies and answers of the upload protocol, the answers of a hostile provider included."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.http.protocol import (
    MAX_DETAIL_LENGTH,
    GarbledAnswerError,
    batch_headers,
    frame,
    frames,
    plain_text,
    read_answers,
    read_problem,
    read_votes,
)
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.provider.frames import split_frames
from aerotile.domain.policies.retry_after import retry_after_s
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
)
from aerotile.domain.values.upload_reports import (
    FRAME_ALLOWANCE_BYTES,
    TileAnswer,
    TileToSend,
    TileUploadOutcome,
    UploadBatch,
    UploadReason,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def to_send(x: int, **facts: Any) -> TileToSend:
    pixels = example_jpeg(bytes([x % 256]) * 20)
    metadata = TileMetadata(
        **{
            "tile_id": TileId(22, x, 4_194_303, TileSource.ONBOARD, FLIGHT),
            "captured_at": NOON,
            "content_sha256": hashlib.sha256(pixels).hexdigest(),
            "disk_bytes": len(pixels),
            "ground_sample_distance": 0.037,
        }
        | facts
    )
    return TileToSend(TileMetadataPersistent.of(metadata, created_at=NOON), MemoryTilePixelHandle.of(pixels))


BATCH = UploadBatch(uuid4(), (to_send(0), to_send(1), to_send(2)))
NAMES = [str(tile.metadata.tile_uuid) for tile in BATCH.tiles]
HASHES = [tile.metadata.content_sha256 for tile in BATCH.tiles]


def answer(*results: Any) -> bytes:
    return json.dumps({"results": results}).encode()


def accepted(number: int, **changes: Any) -> dict[str, Any]:
    return {"tile_uuid": NAMES[number], "outcome": "accepted", "stored_sha256": HASHES[number]} | changes


def test_a_body_is_read_back_by_the_reference_provider_as_it_was_made() -> None:
    read = split_frames(b"".join(frames(BATCH)), 256)
    assert [str(f.tile_uuid) for f in read] == NAMES
    assert [hashlib.sha256(f.content).hexdigest() for f in read] == HASHES
    assert read[0].header["idempotency_key"] == f"{NAMES[0]}:{HASHES[0]}"
    assert read[0].header["flight_id"] == str(FLIGHT)


def test_the_headers_describe_the_body() -> None:
    body, headers = b"".join(frames(BATCH)), batch_headers(BATCH)
    assert headers["Content-Length"] == str(len(body))
    digest = headers["Content-Digest"]
    assert digest.startswith("sha-256=:")
    assert b64decode(digest[9:-1]) == hashlib.sha256(body).digest()


def test_the_longest_header_is_within_what_a_batch_allows_for_it() -> None:
    longest = to_send(
        4_194_303,
        captured_at=datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        ground_sample_distance=1.2345678901234567e-300,
        tile_size_pixels=2**31 - 1,
        quality=TileQualityMetadata(*[1.2345678901234567e-300, 2**31 - 1] * 2),
    )
    assert len(frame(longest)) - longest.metadata.disk_bytes <= FRAME_ALLOWANCE_BYTES


def test_the_words_of_an_answer_are_read_in_any_order() -> None:
    rejected = {"tile_uuid": NAMES[1], "outcome": "rejected", "reason": {"code": "not_jpeg", "detail": "no"}}
    words = read_answers(
        answer(rejected, accepted(2), accepted(0, outcome="duplicate", newer="field")), BATCH
    )
    assert {str(name): word for name, word in words.items()} == {
        NAMES[0]: TileAnswer(TileUploadOutcome.DUPLICATE, HASHES[0]),
        NAMES[1]: TileAnswer(TileUploadOutcome.REJECTED, reason=UploadReason("not_jpeg", "no")),
        NAMES[2]: TileAnswer(TileUploadOutcome.ACCEPTED, HASHES[2]),
    }


@pytest.mark.parametrize(
    "unusable",
    [
        accepted(1, stored_sha256=None),
        accepted(1, stored_sha256="ABC"),
        accepted(1, stored_sha256=HASHES[1].upper()),
        accepted(1, outcome="unanswered"),
        accepted(1, outcome=["accepted"]),
        accepted(1, tile_uuid=str(uuid4())),
        accepted(1, tile_uuid=7),
        "accepted",
        None,
    ],
)
def test_a_result_that_cannot_be_used_counts_as_left_out(unusable: Any) -> None:
    assert [str(name) for name in read_answers(answer(accepted(0), unusable), BATCH)] == [NAMES[0]]


def test_results_that_contradict_each_other_count_as_left_out_and_repeated_ones_once() -> None:
    words = read_answers(
        answer(accepted(0), accepted(0), accepted(1), accepted(1, stored_sha256=HASHES[2])), BATCH
    )
    assert [str(name) for name in words] == [NAMES[0]]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"<html>", b"[]", b"{}", b'{"results": {}}', b'{"results": []}', b"[" * 100_000],
    ids=lambda body: repr(body[:20]),
)
def test_an_answer_without_a_word_is_called_garbled(body: bytes) -> None:
    with pytest.raises(GarbledAnswerError):
        read_answers(body, BATCH)


def test_an_answer_with_two_outcomes_in_one_result_is_garbled_whichever_comes_last() -> None:
    said = answer(accepted(0)).replace(b'"outcome"', b'"outcome": "rejected", "outcome"', 1)
    with pytest.raises(GarbledAnswerError):
        read_answers(said, BATCH)


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_answer_whatever_breaks_the_reader(body: bytes) -> None:
    for read in (lambda: read_answers(body, BATCH), lambda: read_votes(body), lambda: read_problem(body)):
        try:
            read()
        except GarbledAnswerError:
            continue


RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "tile_uuid": st.sampled_from(NAMES) | JSON_VALUES,
        "outcome": st.sampled_from(["accepted", "duplicate", "rejected"]) | JSON_VALUES,
        "stored_sha256": st.sampled_from(HASHES) | JSON_VALUES,
        "reason": JSON_VALUES
        | st.fixed_dictionaries({"code": st.text() | st.just("refused"), "detail": st.text()}),
    },
)


@given(st.lists(RESULTS, max_size=6))
def test_whatever_results_come_a_word_is_one_that_was_said(results: list[dict[str, Any]]) -> None:
    try:
        words = read_answers(answer(*results), BATCH)
    except GarbledAnswerError:
        return
    for name, word in words.items():
        said = [r for r in results if r.get("tile_uuid") == str(name)]
        assert any(
            r.get("outcome") == word.outcome.value and r.get("stored_sha256") == word.stored_sha256
            for r in said
            if word.outcome is not TileUploadOutcome.REJECTED
        ) or (
            word.outcome is TileUploadOutcome.REJECTED and any(r.get("outcome") == "rejected" for r in said)
        )


@given(st.text())
def test_a_text_of_the_provider_is_one_printable_line_of_bounded_length(text: str) -> None:
    shown = plain_text(text)
    assert len(shown) <= MAX_DETAIL_LENGTH
    assert all(c.isprintable() for c in shown)
    shown.encode()


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("0", None, 0.0),
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        ("-1", None, None),
        ("1.5", None, None),
        ("9" * 400, None, None),
        ("soon", None, None),
        ("", None, None),
        ("Fri, 01 May 2026 12:00:30 GMT", None, 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", None, 0.0),
        ("Fri, 01 May 2026 20:00:30 GMT", "Fri, 01 May 2026 20:00:00 GMT", 30.0),
        ("Fri, 01 May 2026 12:00:30 GMT", "never", 30.0),
        ("Fri, 99 May 2026 12:00:30 GMT", None, None),
        ("Fri, 01 May 9999999 12:00:30 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert retry_after_s(value, date, NOON) == seconds


@given(st.text() | st.none(), st.text() | st.none())
def test_no_retry_after_whatever_breaks_the_reader(value: str | None, date: str | None) -> None:
    seconds = retry_after_s(value, date, NOON)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("before", [0, 3, 495, 994, 3000])
def test_a_token_that_the_provider_repeats_is_shown_nowhere(before: int) -> None:
    token = "t0ps3cr3t"
    text = " ".join("x" * 7 for _ in range(before // 8 + 1))[:before] + f"{token} {token}" * 3
    assert "t0p" not in plain_text(text, token)
    rejected = {"tile_uuid": NAMES[1], "outcome": "rejected", "reason": {"code": token, "detail": text}}
    (word,) = read_answers(answer(rejected), BATCH, token).values()
    assert word.reason is not None
    assert word.reason.code == "no_code"
    assert "t0p" not in word.reason.detail
    problem = {"type": f"urn:aerotile:problem:{token}", "title": token, "detail": text}
    code, detail = read_problem(json.dumps(problem).replace("t0p", "\\u00740p").encode(), token)
    assert code is None
    assert "t0p" not in detail
    vote = {"tile_uuid": NAMES[0], "verdict": "trusted", "reason": text}
    ((_, _, reason),), _ = read_votes(json.dumps({"votes": [vote]}).encode(), token)
    assert "t0p" not in reason


def test_a_problem_gives_its_code_and_its_text() -> None:
    body = json.dumps(
        {"type": "urn:aerotile:problem:too_large", "title": "Too large", "status": 413, "detail": "4 MiB\n"}
    )
    assert read_problem(body.encode()) == ("too_large", "Too large: 4 MiB")
    assert read_problem(b"<html>") == (None, "")
    assert read_problem(b'{"type": "about:blank", "title": 7}') == (None, "")


def test_votes_are_read_with_their_cursor() -> None:
    page = {"votes": [{"tile_uuid": NAMES[0], "verdict": "trusted"}], "next": "17"}
    assert read_votes(json.dumps(page).encode()) == ([(UUID(NAMES[0]), "trusted", "")], "17")
