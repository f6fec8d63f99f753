"""Describing tiles: blocks, batches, headings, and what ends a run or leaves a tile out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from aerotile.adapters.memory.descriptor_model import MemoryDescriptorModel
from aerotile.domain.choose_tiles import ChosenTiles
from aerotile.domain.describe_tiles import BLOCK_TILES, TileSupply, describe_tiles, job_of, tried_dimension
from aerotile.domain.errors import (
    DescribedTilesError,
    DescriptorModelError,
    StoreUnavailableError,
    TileMetadataError,
)
from aerotile.domain.ports.described_tiles import DescribedBlock, DescribingJob
from aerotile.domain.values.catalogue_entries import CatalogueColumns
from aerotile.domain.values.pictures import Descriptors, Pictures, turned
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.timestamps import microseconds_of

VARIANTS = VariantTable.naming([])
WHEN = microseconds_of(datetime(2026, 5, 1, tzinfo=timezone.utc))


def content_of(number: int) -> bytes:
    return b"tile %d" % number


def chosen(count: int) -> ChosenTiles:
    keys = [encode_tile_key(TileId(10, x, 7, TileSource.IMPORTED), VARIANTS) for x in range(count)]
    digests = b"".join(hashlib.sha256(content_of(x)).digest() for x in range(count))
    whole = np.full(count, WHEN)
    columns = CatalogueColumns(
        np.array(keys, np.int64),
        whole,
        whole,
        np.full(count, 9),
        np.zeros(count, np.uint8),
        np.frombuffer(digests, np.uint8).reshape(count, 32),
    )
    return ChosenTiles(columns, VARIANTS, Counter())


def picture(content: bytes) -> Pictures:
    seed = int.from_bytes(hashlib.sha256(content).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)


SUPPLY = TileSupply(read_bytes=lambda tile_id: content_of(tile_id.x), decode=picture)


class Blocks:
    """A writer that keeps blocks in memory."""

    def __init__(self, finished: frozenset[int] = frozenset()) -> None:
        self.finished = finished
        self.blocks: dict[int, DescribedBlock] = {}
        self.is_finished = False

    def finished_blocks(self) -> frozenset[int]:
        return self.finished

    def add(self, number: int, block: DescribedBlock) -> None:
        self.blocks[number] = block

    def finish(self) -> tuple[int, int]:
        self.is_finished = True
        return sum(len(block.descriptors) for block in self.blocks.values()), 48

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Counted(MemoryDescriptorModel):
    """The model in memory, with the sizes of its calls."""

    def __init__(self, answer: Callable[[Descriptors], Descriptors] = lambda rows: rows) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.answer = answer

    def describe(self, pictures: Pictures) -> Descriptors:
        self.calls.append(len(pictures))
        return self.answer(super().describe(pictures))


def test_tiles_go_by_blocks_in_calls_of_a_batch_and_progress_is_told_by_block() -> None:
    count, told = BLOCK_TILES + 3, []
    model, writer = Counted(), Blocks()
    report = describe_tiles(
        chosen(count),
        SUPPLY,
        model,
        writer,
        headings=(0,),
        batch=100,
        dimension=48,
        progress=lambda done, total: told.append((done, total)),
    )
    assert model.calls == [100, 100, 56, 3]
    assert told == [(BLOCK_TILES, count), (count, count)]
    assert [len(block.tile_ids) for block in writer.blocks.values()] == [BLOCK_TILES, 3]
    assert (report.tiles, report.descriptors, report.taken_over) == (count, count, 0)


def test_the_rows_of_a_tile_lie_together_in_the_order_of_the_headings() -> None:
    model, writer = MemoryDescriptorModel(), Blocks()
    describe_tiles(chosen(5), SUPPLY, model, writer, headings=(90, 0), batch=2, dimension=48)
    rows = writer.blocks[0].descriptors
    assert rows.shape == (10, 48)
    for number in range(5):
        for row, heading in zip(rows[2 * number : 2 * number + 2], (90, 0), strict=True):
            expected = model.describe(turned(picture(content_of(number)), heading))[0]
            np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_finished_blocks_are_taken_over_and_not_read() -> None:
    read = []

    def read_bytes(tile_id: TileId) -> bytes:
        read.append(tile_id.x)
        return content_of(tile_id.x)

    supply, writer = TileSupply(read_bytes=read_bytes, decode=picture), Blocks(frozenset({0}))
    model = MemoryDescriptorModel()
    report = describe_tiles(
        chosen(BLOCK_TILES + 2), supply, model, writer, headings=(0,), batch=8, dimension=48
    )
    assert read == [BLOCK_TILES, BLOCK_TILES + 1]
    assert (report.taken_over, report.tiles) == (BLOCK_TILES, BLOCK_TILES + 2)


def test_a_tile_of_other_bytes_or_without_a_picture_is_left_out_and_the_others_keep_their_rows() -> None:
    def decode(content: bytes) -> Pictures:
        if content == content_of(4):
            raise TileMetadataError("the JPEG does not decode")
        return picture(content)

    supply = TileSupply(
        read_bytes=lambda tile_id: b"other" if tile_id.x == 0 else content_of(tile_id.x), decode=decode
    )
    model, writer = MemoryDescriptorModel(), Blocks()
    report = describe_tiles(chosen(5), supply, model, writer, headings=(0,), batch=2, dimension=48)
    assert report.refused == {"damaged": 1, "no picture": 1}
    assert [(tile_id.x, kind) for tile_id, kind in report.listed] == [(0, "damaged"), (4, "no picture")]
    assert (report.tiles, [tile_id.x for tile_id in writer.blocks[0].tile_ids]) == (3, [1, 2, 3])
    expected = np.concatenate([model.describe(picture(content_of(x))) for x in (1, 2, 3)])
    np.testing.assert_allclose(writer.blocks[0].descriptors, expected, rtol=1e-5, atol=1e-6)


def test_a_store_that_fails_ends_the_run_and_no_file_is_finished() -> None:
    def gone(tile_id: TileId) -> bytes:
        raise StoreUnavailableError("the disk is gone")

    writer = Blocks()
    supply = TileSupply(read_bytes=gone, decode=picture)
    with pytest.raises(StoreUnavailableError):
        describe_tiles(
            chosen(3), supply, MemoryDescriptorModel(), writer, headings=(0,), batch=2, dimension=48
        )
    assert (writer.blocks, writer.is_finished) == ({}, False)


def test_a_network_that_does_not_take_such_pictures_is_named() -> None:
    odd = TileSupply(read_bytes=SUPPLY.read_bytes, decode=lambda content: picture(content)[:, :7])
    with pytest.raises(DescriptorModelError, match="can't describe such tiles: pictures must have"):
        describe_tiles(
            chosen(1), odd, MemoryDescriptorModel(), Blocks(), headings=(0,), batch=2, dimension=48
        )


def test_an_answer_of_another_number_of_rows_is_refused() -> None:
    with pytest.raises(DescriptorModelError, match=r"answers 2 pictures with arrays of shape \(1, 48\)"):
        describe_tiles(
            chosen(2), SUPPLY, Counted(lambda rows: rows[:1]), Blocks(), headings=(0,), batch=2, dimension=48
        )


def test_descriptors_of_another_length_than_the_first_are_refused() -> None:
    model = Counted(lambda rows: rows if len(rows) == 2 else rows[:, :8])
    with pytest.raises(DescriptorModelError, match="answers with 8 numbers a picture, and with 48 before"):
        describe_tiles(chosen(3), SUPPLY, model, Blocks(), headings=(0,), batch=2, dimension=48)
    with pytest.raises(DescriptorModelError, match="answers with 8 numbers a picture, and with 48 before"):
        tried_dimension(model, 8)


def less_their_mean(rows: Descriptors) -> Descriptors:
    """As a network that was saved while it learned: it normalises over the pictures of a call."""
    centred: Descriptors = rows - rows.mean(axis=0)
    return centred


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (np.zeros_like, "describes two different pictures alike"),
        (np.ones_like, "describes two different pictures alike"),
        (less_their_mean, "describes a picture otherwise when another one is beside it"),
    ],
)
def test_a_network_by_which_no_search_would_find_a_tile_is_refused_when_it_is_tried(
    answer: Callable[[Descriptors], Descriptors], said: str
) -> None:
    with pytest.raises(DescriptorModelError, match=said):
        tried_dimension(Counted(answer), 16)


def test_a_trial_allows_for_the_last_digits_which_company_may_change() -> None:
    model = Counted(lambda rows: rows * np.float32(1 + 0.005 * len(rows)))
    assert tried_dimension(model, 16) == 48
    assert sorted(model.calls) == [1, 2]


def test_a_job_differs_with_whatever_decides_its_rows() -> None:
    usual = {"tiles": 3, "seed": 0, "headings": (0,), "providers": ("CPU",), "recalls": "", "batch": 8}

    def job(**changes: Any) -> DescribingJob:
        facts: dict[str, Any] = usual | changes
        model = MemoryDescriptorModel(seed=facts.pop("seed"))
        return job_of(chosen(facts.pop("tiles")), model, **facts)

    assert job() == job()
    others = [job(tiles=4), job(seed=1), job(headings=(90,)), job(recalls="a"), job(batch=9)]
    assert len({job(), *others, job(providers=("GPU", "CPU"))}) == 7


def test_a_turned_picture_has_what_lies_ahead_on_top() -> None:
    north_up = np.zeros((1, 4, 4, 3), np.uint8)
    north_up[:, :, 3] = 1  # the east
    north_up[:, 0] = 2  # the north
    heading_east = turned(north_up, 90)
    assert heading_east[0, 0, 1:].tolist() == [[1] * 3] * 3
    assert heading_east[0, :, 0].tolist() == [[2] * 3] * 4
    assert (turned(north_up, 0) == north_up).all()
    assert turned(turned(north_up, 180), 180).tolist() == north_up.tolist()


def test_a_run_without_one_described_tile_says_what_became_of_them() -> None:
    supply = TileSupply(read_bytes=lambda tile_id: b"other", decode=picture)
    writer = Blocks()
    with pytest.raises(DescribedTilesError, match=r"described: 3 damaged, such as imported/10/0/7"):
        describe_tiles(
            chosen(3), supply, MemoryDescriptorModel(), writer, headings=(0,), batch=2, dimension=48
        )
    assert not writer.is_finished
