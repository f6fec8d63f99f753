"""The parser of the catalogue's COPY: right on what PostgreSQL sends, unimpressed by anything else."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aerotile.domain.errors import TileMetadataError
from aerotile.domain.values.catalogue_entries import MAX_DISK_BYTES, CatalogueColumns
from aerotile.domain.values.tile_key import MAX_VARIANTS, VariantTable, encode_tile_key
from aerotile.domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.ext import CatalogueCopy, CopyStreamError

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
FLIGHTS = [UUID(int=number << 64 | number) for number in (0, 1, 2**60)]


def encoded(tile: TileMetadataPersistent) -> dict[str, bytes | None]:
    """A row's fields as PostgreSQL sends them."""
    tile_id = tile.tile_id
    microsecond = timedelta(microseconds=1)
    return {
        "zoom_level": struct.pack(">h", tile_id.zoom_level),
        "x": struct.pack(">i", tile_id.x),
        "y": struct.pack(">i", tile_id.y),
        "source": tile_id.source.value.encode(),
        "flight_id": None if tile_id.flight_id is None else tile_id.flight_id.bytes,
        "captured_at": struct.pack(">q", (tile.captured_at - EPOCH) // microsecond),
        "accessed_at": struct.pack(">q", (tile.accessed_at - EPOCH) // microsecond),
        "disk_bytes": struct.pack(">q", tile.disk_bytes),
        "fresh": bytes([tile.freshness_label is FreshnessLabel.FRESH]),
        "voting_status": None if tile.voting_status is None else tile.voting_status.value.encode(),
        "pinned": bytes([tile.pinned]),
        "uploaded": bytes([tile.uploaded_at is not None]),
        "content_sha256": tile.content_sha256.encode(),
    }


def row_of(fields: Sequence[bytes | None]) -> bytes:
    """One row of the stream."""
    parts = [
        struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field for field in fields
    ]
    return struct.pack(">h", len(fields)) + b"".join(parts)


def stream_of(tiles: Sequence[TileMetadataPersistent]) -> bytes:
    """The whole COPY."""
    return HEADER + b"".join(row_of([*encoded(tile).values()]) for tile in tiles) + END


def parsed(stream: bytes, cuts: Sequence[int] = ()) -> tuple[CatalogueColumns, VariantTable]:
    """What the parser makes of a stream that comes in pieces."""
    copy = CatalogueCopy()
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    for begin, end in pairwise(edges):
        copy.feed(stream[begin:end])
    return copy.finish()


moments = st.datetimes(timezones=st.just(timezone.utc))


@st.composite
def tiles(draw: st.DrawFn) -> TileMetadataPersistent:
    zoom_level = draw(st.integers(0, 22))
    place = st.integers(0, 2**zoom_level - 1)
    source = draw(st.sampled_from(TileSource))
    flight = draw(st.sampled_from(FLIGHTS)) if source is TileSource.ONBOARD else None
    metadata = TileMetadata(
        tile_id=TileId(zoom_level, draw(place), draw(place), source, flight),
        captured_at=draw(moments),
        content_sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
        disk_bytes=draw(st.integers(1, 2**63 - 1)),
        ground_sample_distance=1.0,
        freshness_label=draw(st.sampled_from(FreshnessLabel)),
        voting_status=draw(st.none() | st.sampled_from(VotingStatus)),
    )
    return attrs.evolve(
        TileMetadataPersistent.of(metadata, created_at=EPOCH),
        accessed_at=draw(moments),
        uploaded_at=draw(st.none() | st.just(EPOCH)),
        pinned=draw(st.booleans()),
    )


SIMPLE = TileMetadataPersistent.of(
    TileMetadata(
        tile_id=TileId(12, 5, 6, TileSource.ONBOARD, FLIGHTS[1]),
        captured_at=EPOCH,
        content_sha256="ab" * 32,
        disk_bytes=7,
        ground_sample_distance=1.0,
    ),
    created_at=EPOCH,
)


@given(st.lists(tiles(), max_size=8), st.lists(st.integers(0, 1500)))
def test_every_row_comes_out_as_the_domain_packs_it_however_the_stream_is_cut(
    rows: list[TileMetadataPersistent], cuts: list[int]
) -> None:
    columns, variants = parsed(stream_of(rows), cuts)
    assert variants == VariantTable.naming(row.tile_id for row in rows)
    expected = CatalogueColumns.of(rows, variants)
    for field in attrs.fields(CatalogueColumns):
        assert np.array_equal(getattr(columns, field.name), getattr(expected, field.name)), field.name


def test_many_rows_keep_their_order() -> None:
    rows = [attrs.evolve(SIMPLE, disk_bytes=number + 1) for number in range(20_000)]
    columns, _ = parsed(stream_of(rows))
    assert columns.disk_bytes.tolist() == list(range(1, 20_001))
    assert (columns.keys == encode_tile_key(SIMPLE.tile_id, VariantTable((FLIGHTS[1],)))).all()


def test_no_rows_are_no_error() -> None:
    columns, variants = parsed(HEADER + END)
    assert len(columns) == 0
    assert variants == VariantTable()


def test_a_huge_size_counts_as_the_largest_that_a_catalogue_knows() -> None:
    columns, _ = parsed(stream_of([attrs.evolve(SIMPLE, disk_bytes=2**62)]))
    assert columns.disk_bytes.tolist() == [MAX_DISK_BYTES]


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    assume(noise != END)
    with pytest.raises(CopyStreamError):
        parsed(HEADER + noise)
    with pytest.raises(CopyStreamError):
        parsed(noise)


@given(
    st.lists(tiles(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=3),
    st.integers(0, 700),
)
def test_a_damaged_stream_is_read_or_refused_and_nothing_else(
    rows: list[TileMetadataPersistent], damage: list[tuple[int, int]], cut: int
) -> None:
    stream = bytearray(stream_of(rows))
    for place, value in damage:
        stream[place % len(stream)] = value
    try:
        columns, variants = parsed(bytes(stream), [cut])
    except (CopyStreamError, TileMetadataError):
        return
    columns.check(variants)
    assert len(columns) <= len(rows)


@given(st.lists(tiles(), min_size=1, max_size=3), st.data())
def test_a_stream_that_breaks_off_is_refused_wherever_it_does(
    rows: list[TileMetadataPersistent], data: st.DataObject
) -> None:
    stream = stream_of(rows)
    length = data.draw(st.integers(0, len(stream) - 1))
    with pytest.raises(CopyStreamError, match=r"breaks off after \d rows"):
        parsed(stream[:length])


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"PGCOPY\n\xff\r\n\1" + bytes(8) + END, "does not begin"),
        (b"PGCOPY\n\xff\r\n\0" + b"\0\1\0\0" + bytes(4) + END, "header announces"),
        (b"PGCOPY\n\xff\r\n\0" + bytes(4) + b"\0\0\0\4" + bytes(4) + END, "header announces"),
        (HEADER + struct.pack(">h", 12), "12 fields, expected 13"),
        (HEADER + struct.pack(">h", -2), "65534 fields"),
        (stream_of([SIMPLE]) + b"\0", "1 bytes stand behind"),
        (HEADER + row_of([b"\0\1\2", *list(encoded(SIMPLE).values())[1:]]), "3 bytes in field 0"),
        (HEADER + row_of([None, *list(encoded(SIMPLE).values())[1:]]), "-1 bytes in field 0"),
        (HEADER + struct.pack(">hi", 13, -2), "-2 bytes in field 0"),
        (HEADER + struct.pack(">hi", 13, 2**31 - 1), "2147483647 bytes in field 0"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said(stream: bytes, reason: str) -> None:
    with pytest.raises(CopyStreamError, match=reason):
        parsed(stream)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("zoom_level", struct.pack(">h", 23), "off the grid"),
        ("zoom_level", struct.pack(">h", -1), "off the grid"),
        ("x", struct.pack(">i", 4096), "off the grid"),
        ("x", struct.pack(">i", -1), "off the grid"),
        ("y", struct.pack(">i", -(2**31)), "off the grid"),
        ("source", b"onboarding", "source and its flight"),
        ("source", b"imported", "source and its flight"),
        ("source", b"", "source and its flight"),
        ("source", b"\xff\xfe", "source and its flight"),
        ("flight_id", None, "source and its flight"),
        ("captured_at", struct.pack(">q", 2**63 - 1), "no moment"),
        ("captured_at", struct.pack(">q", -(2**63)), "no moment"),
        ("accessed_at", struct.pack(">q", 2**62), "no moment"),
        ("disk_bytes", struct.pack(">q", 0), "disk_bytes is 0"),
        ("disk_bytes", struct.pack(">q", -5), "disk_bytes is -5"),
        ("voting_status", b"maybe", "voting_status is 'maybe'"),
        ("voting_status", b"", "voting_status is ''"),
        ("content_sha256", b"AB" * 32, "hexadecimal"),
        ("content_sha256", b"ab" * 31 + b"a", "hexadecimal"),
        ("content_sha256", b"ab" * 31 + b"ag", "hexadecimal"),
    ],
)
def test_an_impossible_row_is_named_with_the_reason(field: str, value: bytes | None, reason: str) -> None:
    fields = encoded(SIMPLE)
    fields[field] = value
    with pytest.raises(TileMetadataError, match=reason) as refused:
        parsed(HEADER + row_of([*encoded(SIMPLE).values()]) + row_of([*fields.values()]) + END)
    assert "impossible row for tile " in str(refused.value)
    if field not in ("source", "zoom_level", "x", "y"):
        assert "onboard/12/5/6" in str(refused.value)


def test_more_flights_than_keys_can_tell_apart_are_refused() -> None:
    fields = encoded(SIMPLE)
    copy = CatalogueCopy()
    copy.feed(HEADER)

    def feed(number: int) -> None:
        fields["flight_id"] = UUID(int=number).bytes
        copy.feed(row_of([*fields.values()]))

    for number in range(MAX_VARIANTS - 2):
        feed(number)
    feed(0)
    with pytest.raises(TileMetadataError, match="more than 16382 flights"):
        feed(MAX_VARIANTS)


def test_after_an_error_or_the_end_nothing_more_is_taken() -> None:
    failed, finished = CatalogueCopy(), CatalogueCopy()
    with pytest.raises(CopyStreamError):
        failed.feed(bytes(100))
    finished.feed(HEADER + END)
    finished.finish()
    calls: list[Callable[[], object]] = [failed.finish, finished.finish]
    calls += [lambda: failed.feed(HEADER), lambda: finished.feed(b"")]
    for call in calls:
        with pytest.raises(ValueError, match="finished, or has failed"):
            call()


def test_what_is_no_buffer_is_a_type_error() -> None:
    copy = CatalogueCopy()
    copy.feed(HEADER[:3])
    for block in (None, "text", 5, [1]):
        with pytest.raises(TypeError):
            copy.feed(block)  # type: ignore[arg-type]  # on purpose


def test_two_threads_at_one_parser_never_crash_it() -> None:
    fields = encoded(SIMPLE)
    errors: list[Exception] = []

    def feed(copy: CatalogueCopy, numbers: range) -> None:
        try:
            for number in numbers:
                fields["flight_id"] = UUID(int=number).bytes  # a new flight runs Python code in between
                copy.feed(row_of([*fields.values()]))
        except (RuntimeError, ValueError) as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            copy = CatalogueCopy()
            copy.feed(HEADER)
            threads = [threading.Thread(target=feed, args=(copy, range(n, n + 200))) for n in (0, 200)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert all("another thread" in str(error) or "has failed" in str(error) for error in errors)


def test_threads_parse_streams_of_their_own_at_once() -> None:
    stream = stream_of([SIMPLE] * 2000)
    lengths: list[int] = []

    def parse() -> None:
        lengths.append(len(parsed(stream, range(0, len(stream), 97))[0]))

    threads = [threading.Thread(target=parse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [2000] * 4


def test_the_columns_outlive_the_parser() -> None:
    columns, _ = parsed(stream_of([SIMPLE] * 5000))
    part = columns.keys[4000:]
    del columns
    parsed(stream_of([attrs.evolve(SIMPLE, disk_bytes=1)] * 5000))
    assert (part == encode_tile_key(SIMPLE.tile_id, VariantTable((FLIGHTS[1],)))).all()
