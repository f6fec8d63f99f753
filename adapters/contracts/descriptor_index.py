"""The contract of `DescriptorIndex`."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.ports.descriptor_index import DescriptorIndex, SupportsKeyListing
from ...domain.values.descriptors import DescriptorMetric, HnswParams
from ...domain.values.tile_key import decode_tile_key
from ...domain.values.tiles import TileId, TileSource

Vectors = npt.NDArray[np.float32]

MakeDescriptorIndex = Callable[[HnswParams], DescriptorIndex]

BUILT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")

DIMENSION = 16


def tiles(count: int) -> list[TileId]:
    """Distinct tiles of every source."""
    variants: list[tuple[TileSource, UUID | None]] = [
        (TileSource.SATELLITE_PROVIDER, None),
        (TileSource.IMPORTED, None),
        (TileSource.ONBOARD, FLIGHT),
    ]
    return [TileId(18, 1000 + number, 2000 + number, *variants[number % 3]) for number in range(count)]


def vectors(count: int, dimension: int = DIMENSION) -> Vectors:
    """Points on the unit sphere, so far from each other that half precision finds the same neighbours."""
    found = np.random.default_rng(7).normal(size=(count, dimension))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def build(index: DescriptorIndex, count: int = 200, **changes: Any) -> Any:
    arguments = {"tile_ids": tiles(count), "descriptors": vectors(count), **changes}
    return index.rebuild(
        arguments.pop("tile_ids"),
        arguments.pop("descriptors"),
        **{"descriptor_model": "a-network", "built_at": BUILT_AT, **arguments},
    )


class DescriptorIndexContract:
    """Holds an index that a factory builds, empty, from parameters; the subclass closes the index."""

    @pytest.fixture
    def make_index(self) -> MakeDescriptorIndex:
        """Build the empty index under test. Override it."""
        raise NotImplementedError

    @pytest.fixture
    def index(self, make_index: MakeDescriptorIndex) -> DescriptorIndex:
        return make_index(HnswParams())

    def test_it_is_a_descriptor_index(self, index: DescriptorIndex) -> None:
        assert isinstance(index, DescriptorIndex)

    def test_each_descriptor_finds_its_own_tile_first(self, index: DescriptorIndex) -> None:
        build(index)
        found = [index.search(descriptor, 1)[0].tile_id for descriptor in vectors(200)]
        assert found == tiles(200)

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_hits_are_the_exact_neighbours_nearest_first(
        self, make_index: MakeDescriptorIndex, metric: DescriptorMetric
    ) -> None:
        index = make_index(HnswParams(metric=metric))
        build(index)
        query = vectors(1)[0] + np.float32(0.01)
        if metric is DescriptorMetric.L2:
            expected = np.square(vectors(200) - query).sum(axis=1)
            order = np.argsort(expected)
        else:
            expected = vectors(200) @ query
            order = np.argsort(-expected)
        hits = index.search(query, 5)
        assert [hit.tile_id for hit in hits] == [tiles(200)[row] for row in order[:5]]
        assert [hit.distance for hit in hits] == pytest.approx(expected[order[:5]].tolist(), abs=2e-3)

    def test_fewer_hits_come_back_when_the_index_holds_fewer(self, index: DescriptorIndex) -> None:
        build(index, 3)
        assert {hit.tile_id for hit in index.search(vectors(1)[0], 1_000_000_000)} == set(tiles(3))

    def test_threads_that_search_at_once_get_what_each_would_get_alone(self, index: DescriptorIndex) -> None:
        build(index)
        queries = vectors(200)
        alone = [index.search(query, 7) for query in queries]
        with ThreadPoolExecutor(8) as threads:
            for _ in range(5):
                assert list(threads.map(lambda query: index.search(query, 7), queries)) == alone

    def test_one_tile_is_an_index(self, index: DescriptorIndex) -> None:
        build(index, 1)
        assert index.search(vectors(1)[0], 5)[0].tile_id == tiles(1)[0]

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            (vectors(1), "shape"),
            (vectors(1, DIMENSION + 1)[0], "shape"),
            (vectors(1)[0].astype(np.float64), "float32"),
            (vectors(1)[0].tolist(), "numpy array"),
            (np.full(DIMENSION, np.nan, np.float32), "finite"),
            (np.full(DIMENSION, np.inf, np.float32), "finite"),
            (np.array([0] * (DIMENSION - 1) + [-np.inf], np.float32), f"component {DIMENSION - 1}"),
            (np.ma.masked_less(vectors(1)[0], 0), "masked"),
        ],
        ids=["two_dimensions", "too_long", "float64", "list", "nan", "infinite", "last_infinite", "masked"],
    )
    def test_a_query_that_is_no_descriptor_is_refused(
        self, index: DescriptorIndex, query: Any, said: str
    ) -> None:
        build(index)
        with pytest.raises(ValueError, match=said):
            index.search(query, 1)

    @pytest.mark.parametrize("component", [3e38, -3e38, 1e18])
    def test_a_query_whose_distances_are_no_float32_is_refused(
        self, index: DescriptorIndex, component: float
    ) -> None:
        build(index)
        with pytest.raises(ValueError, match=r"length 1e\+18 or less"):
            index.search(np.full(DIMENSION, component, np.float32), 1)

    @pytest.mark.parametrize("component", [0.0, 1e-45, 1e-30, 1e-17])
    def test_a_query_whose_inner_products_are_all_zero_is_refused(
        self, make_index: MakeDescriptorIndex, component: float
    ) -> None:
        index = make_index(HnswParams(metric=DescriptorMetric.INNER_PRODUCT))
        build(index)
        with pytest.raises(ValueError, match=r"length 1e-15 or more by inner product"):
            index.search(np.full(DIMENSION, component, np.float32), 1)
        shortest = vectors(1)[0] * np.float32(1.1e-15)
        assert index.search(shortest, 1)[0].tile_id == index.search(vectors(1)[0], 1)[0].tile_id

    @pytest.mark.parametrize("component", [0.0, 1e-45])
    def test_a_query_of_zero_has_its_distances(self, index: DescriptorIndex, component: float) -> None:
        build(index)
        (hit,) = index.search(np.full(DIMENSION, component, np.float32), 1)
        assert hit.distance == pytest.approx(1, abs=1e-3)

    def test_a_query_of_any_length_that_is_taken_finds_tiles(self, index: DescriptorIndex) -> None:
        build(index)
        hits = index.search(np.full(DIMENSION, 0.99e18 / DIMENSION**0.5, np.float32), 3)
        assert len(hits) == 3
        assert all(math.isfinite(hit.distance) for hit in hits)

    @pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
    def test_a_k_that_is_no_count_is_refused(self, index: DescriptorIndex, k: Any) -> None:
        build(index)
        with pytest.raises(ValueError, match="k must be"):
            index.search(vectors(1)[0], k)

    def test_an_index_that_was_never_built_says_so(self, index: DescriptorIndex) -> None:
        for ask in (lambda: index.search(vectors(1)[0], 1), index.metadata, index.dimension):
            with pytest.raises(IndexUnavailableError):
                ask()

    def test_a_closed_index_says_so_and_closes_twice(self, index: DescriptorIndex) -> None:
        build(index)
        index.close()
        index.close()
        with pytest.raises(IndexUnavailableError, match="closed"):
            index.search(vectors(1)[0], 1)

    def test_metadata_tell_what_was_built(self, index: DescriptorIndex) -> None:
        returned = build(index)
        metadata = index.metadata()
        assert metadata == returned
        assert (metadata.dimension, metadata.count, index.dimension()) == (DIMENSION, 200, DIMENSION)
        assert (metadata.descriptor_model, metadata.built_at) == ("a-network", BUILT_AT)
        assert metadata.params == HnswParams()
        assert metadata.variants.flights == (FLIGHT,)

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_a_tile_with_several_descriptors_is_named_once_by_the_best(
        self, make_index: MakeDescriptorIndex, metric: DescriptorMetric
    ) -> None:
        index = make_index(HnswParams(metric=metric))
        of_each = 1 + np.random.default_rng(3).integers(0, 4, 50)  # 1 to 4 descriptors a tile
        owners = np.random.default_rng(4).permutation(np.repeat(np.arange(50), of_each))
        given = vectors(len(owners)).astype(np.float16).astype(np.float32)  # the same in every storage
        named = [tiles(50)[owner] for owner in owners]
        built = build(index, len(owners), tile_ids=named, descriptors=given)
        assert built.count == len(owners)
        sign = 1 if metric is DescriptorMetric.L2 else -1
        for query in given[::7] + np.float32(0.01):
            far = np.square(given - query).sum(axis=1) if sign == 1 else -(given @ query)
            best = np.array([far[owners == number].min() for number in range(50)])
            hits = index.search(query, 10)
            assert [hit.tile_id for hit in hits] == [tiles(50)[number] for number in np.argsort(best)[:10]]
            distances = [sign * hit.distance for hit in hits]
            assert distances == pytest.approx(np.sort(best)[:10].tolist(), abs=1e-4)
        assert {hit.tile_id for hit in index.search(vectors(1)[0], 1000)} == set(tiles(50))

    def test_it_lists_the_keys_of_its_tiles_with_the_table_that_decodes_them(
        self, index: DescriptorIndex
    ) -> None:
        assert isinstance(index, SupportsKeyListing)
        with pytest.raises(IndexUnavailableError):
            index.tile_keys()
        build(index, 30)
        keys, variants = index.tile_keys()
        assert {decode_tile_key(key, variants) for key in keys.tolist()} == set(tiles(30))

    def test_a_rebuild_replaces_everything(self, index: DescriptorIndex) -> None:
        build(index, 200)
        build(index, 50, descriptors=vectors(50, 8))
        assert index.metadata().count == 50
        assert len(index.search(vectors(1, 8)[0], 200)) == 50

    def test_progress_counts_up_to_all_descriptors(self, make_index: MakeDescriptorIndex) -> None:
        seen: list[tuple[int, int]] = []
        count = 4200  # more than FAISS is given at a time
        build(
            make_index(HnswParams(m=4, ef_construction=8)),
            count,
            progress=lambda done, total: seen.append((done, total)),
        )
        assert seen[-1] == (count, count)
        assert [done for done, _ in seen] == sorted({done for done, _ in seen})

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"tile_ids": [], "descriptors": vectors(0)}, "nothing to index"),
            ({"descriptors": np.zeros((200, 0), np.float32)}, "nothing to index"),
            ({"descriptors": vectors(199)}, "200 tile_ids but 199"),
            ({"descriptors": vectors(200).astype(np.float64)}, "float32"),
            ({"descriptors": vectors(200).ravel()}, "shape"),
            ({"descriptors": vectors(200).tolist()}, "numpy array"),
            ({"descriptors": np.full((200, DIMENSION), np.nan, np.float32)}, "not finite"),
            ({"descriptors": vectors(200) * np.float32(1e-30)}, "no number of float32"),
            ({"descriptors": vectors(200) * np.float32(1e30)}, "no number of float32"),
            ({"descriptors": np.ma.masked_less(vectors(200), 0)}, "masked"),
            ({"content_sha256": np.zeros((199, 32), np.uint8)}, "must have shape"),
            ({"content_sha256": np.zeros((200, 8), np.uint8)}, "must have shape"),
            ({"content_sha256": np.zeros((200, 32), np.int64)}, "array of uint8"),
        ],
        ids=[
            "empty",
            "no_components",
            "counts_differ",
            "float64",
            "flat",
            "list",
            "nan",
            "too_short",
            "too_long",
            "masked",
            "digests_too_few",
            "digests_too_short",
            "digests_no_bytes",
        ],
    )
    def test_a_refused_rebuild_leaves_the_old_content_in_use(
        self, index: DescriptorIndex, changes: dict[str, Any], said: str
    ) -> None:
        before = build(index, 100)
        with pytest.raises(IndexBuildError, match=said):
            build(index, 200, **changes)
        assert index.metadata() == before
        assert index.search(vectors(1)[0], 1)[0].tile_id == tiles(1)[0]

    def test_a_rebuild_whose_progress_raises_leaves_the_old_content_in_use(
        self, make_index: MakeDescriptorIndex
    ) -> None:
        index = make_index(HnswParams())
        before = build(index, 100)

        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(index, 200, progress=interrupt)
        assert index.metadata() == before

    def test_a_descriptor_array_of_another_memory_layout_is_indexed_right(
        self, index: DescriptorIndex
    ) -> None:
        build(index, descriptors=np.asfortranarray(vectors(200)))
        assert index.search(vectors(200)[150], 1)[0].tile_id == tiles(200)[150]

    def test_changing_the_given_array_later_does_not_change_the_index(self, index: DescriptorIndex) -> None:
        given = vectors(200)
        build(index, descriptors=given)
        given[:] = 0
        assert index.search(vectors(200)[150], 1)[0].tile_id == tiles(200)[150]
