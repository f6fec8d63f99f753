"""P-7, P-8, P-9: searching the descriptor index, opening it, and getting from a descriptor to pixels.

All over clustered descriptors (see `descriptor_sets`), with graphs of the parameters that the program comes
with. On P-7 everybody searches with the least breadth (efSearch) that reaches the same recall; what was
reached stands beside the times. P-8 and P-9 are as the program comes.
"""

from __future__ import annotations

import hashlib
import mmap
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
from harness.dataset import Cycle, tile_id
from harness.subjects import Calls, Effort, GrowthCurve, MeasuredPath, Operation, Role, Subject
from harness.workshop import Workshop
from peers import descriptor_graphs as graphs

from aerotile import TileId, find_tiles
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.descriptors import HnswParams

from .descriptor_sets import NEIGHBOURS, DescriptorSet, clustered
from .read_store import reading_store

PARAMS = HnswParams()
CANDIDATES = 5
QUERIES = 2000
RECALL = 0.995
GROWTH_DIMENSION = 128
"""Small enough that the graph of a million is built in minutes."""


@attrs.frozen(kw_only=True, eq=False)
class BuiltIndex:
    """Descriptors in an index of ours, whose row i stands for `tile_id(i)`."""

    wanted: DescriptorSet
    root: Path

    @property
    def file(self) -> Path:
        """The index of the one generation."""
        return self.root / "generations" / "000001" / "tiles.index"

    def opened(self, breadth: int = PARAMS.ef_search) -> FaissDescriptorIndex:
        """The index as the program opens it, searched with `breadth`."""
        return FaissDescriptorIndex(self.root, params=attrs.evolve(PARAMS, ef_search=breadth))

    def queries(self) -> Cycle:
        """The queries, for one subject."""
        return Cycle(list(self.wanted.queries))

    def recall_of_rows(self, search: graphs.Search) -> float:
        """recall@10 of what answers with rows."""
        return self.wanted.recall([search(query).tolist() for query in self.wanted.queries])

    def recall_of(self, index: FaissDescriptorIndex) -> float:
        """recall@10 of ours."""
        rows = {tile_id(row): row for row in range(len(self.wanted.descriptors))}
        return self.wanted.recall(
            [[rows[hit.tile_id] for hit in index.search(query, NEIGHBOURS)] for query in self.wanted.queries]
        )


def _built(root: Path, wanted: DescriptorSet) -> BuiltIndex:
    tiles = [tile_id(row) for row in range(len(wanted.descriptors))]
    index = FaissDescriptorIndex(root)
    index.rebuild(tiles, wanted.descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc))
    index.close()
    return BuiltIndex(wanted=wanted, root=root)


@contextmanager
def searched_index(workshop: Workshop) -> Iterator[BuiltIndex]:
    """The index that P-7 searches and P-8 opens."""
    wanted = clustered(workshop.sizes.descriptors, workshop.sizes.dimension, QUERIES)
    yield _built(workshop.path("index-searched"), wanted)


@contextmanager
def stored_index(workshop: Workshop) -> Iterator[BuiltIndex]:
    """The index of P-9, whose tiles are those of the store that reads are measured on."""
    wanted = clustered(workshop.sizes.tiles, workshop.sizes.dimension, QUERIES)
    yield _built(workshop.path("index-stored"), wanted)


# P-7


@contextmanager
def breadth_of_ours(workshop: Workshop) -> Iterator[tuple[int, float]]:
    """The least breadth with which ours reaches the recall of the target, and what it reaches."""
    built = workshop.shared(searched_index)

    def recall_with(breadth: int) -> float:
        index = built.opened(breadth)
        recall = built.recall_of(index)
        index.close()
        return recall

    yield graphs.least_breadth(RECALL, recall_with)


@contextmanager
def _search(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    breadth, recall = workshop.shared(breadth_of_ours)
    index = built.opened(breadth)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall, "efSearch": breadth},
    )
    index.close()


@contextmanager
def _search_by_default(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    index = built.opened()
    recall = built.recall_of(index)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall, "efSearch": PARAMS.ef_search},
    )
    index.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS's best setting for single queries; OpenMP keeps it per thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _bare_faiss(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    breadth, recall = workshop.shared(breadth_of_ours)
    index: Any = faiss.read_index(str(built.file))
    faiss.downcast_index(index.index).hnsw.efSearch = breadth
    queries = Cycle([query[np.newaxis] for query in built.wanted.queries])
    with _one_thread():
        yield Calls(
            call=lambda query: index.search(query, NEIGHBOURS),
            arguments=queries.arguments,
            facts=lambda: {"recall@10": recall, "efSearch": breadth},
        )


@contextmanager
def hnswlib_index(workshop: Workshop) -> Iterator[Any]:
    """hnswlib's graph of the same descriptors."""
    yield graphs.build_hnswlib(workshop.shared(searched_index).wanted.descriptors, PARAMS)


@contextmanager
def usearch_f16_index(workshop: Workshop) -> Iterator[Any]:
    """usearch's graph of the same descriptors, kept as ours are."""
    yield graphs.build_usearch(workshop.shared(searched_index).wanted.descriptors, PARAMS, "f16")


@contextmanager
def usearch_f32_index(workshop: Workshop) -> Iterator[Any]:
    """usearch's graph of the same descriptors, kept as they are."""
    yield graphs.build_usearch(workshop.shared(searched_index).wanted.descriptors, PARAMS, "f32")


def _searching(
    make: Callable[[Workshop], AbstractContextManager[Any]],
    search: Callable[[Any, int], graphs.Search],
    set_breadth: Callable[[Any, int], None],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        index = workshop.shared(make)
        ask = search(index, NEIGHBOURS)

        def recall_with(breadth: int) -> float:
            set_breadth(index, breadth)
            return built.recall_of_rows(ask)

        breadth, recall = graphs.least_breadth(RECALL, recall_with)
        yield Calls(
            call=ask,
            arguments=built.queries().arguments,
            facts=lambda: {"recall@10": recall, "efSearch": breadth},
        )

    return opened


def _set_ef(index: Any, breadth: int) -> None:
    index.set_ef(breadth)


def _set_expansion(index: Any, breadth: int) -> None:
    index.expansion_search = breadth


_NO_TILES = "answers with rows, not tiles; no check of the query"

SEARCH = MeasuredPath(
    id="P-7",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_search),
        Subject(
            name="bare faiss",
            role=Role.FLOOR,
            open=_bare_faiss,
            note="the same file in memory, the same breadth, one OpenMP thread; answers with keys, not tiles",
        ),
        Subject(
            name="Aerotile, its own breadth",
            role=Role.REFERENCE,
            open=_search_by_default,
            note="the default efSearch, which real descriptors need; see index_recall.py",
        ),
        Subject(
            name="hnswlib",
            role=Role.PEER,
            open=_searching(hnswlib_index, graphs.hnswlib_search, _set_ef),
            needs=("hnswlib",),
            note=_NO_TILES,
        ),
        Subject(
            name="usearch f16",
            role=Role.PEER,
            open=_searching(usearch_f16_index, graphs.usearch_search, _set_expansion),
            needs=("usearch",),
            note=_NO_TILES,
        ),
        Subject(
            name="usearch f32",
            role=Role.PEER,
            open=_searching(usearch_f32_index, graphs.usearch_search, _set_expansion),
            needs=("usearch",),
            note=_NO_TILES,
        ),
    ),
    full=Effort(blocks=10, rounds=400),
    quick=Effort(blocks=5, rounds=100),
)


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Operation]:
    wanted = clustered(size, GROWTH_DIMENSION, QUERIES)
    built = _built(workshop.path(f"index-grown-{size}"), wanted)
    index = built.opened()
    recall = built.recall_of(index)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall},
    )
    index.close()


GROWTH = GrowthCurve(
    id="P-7",
    of="descriptors",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    quick_sizes=(1_000, 10_000),
    open=_grown,
)


# P-8


@contextmanager
def _open(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)

    def first_answer(query: Any) -> None:
        index = FaissDescriptorIndex(built.root)
        index.search(query, NEIGHBOURS)
        index.close()

    yield Calls(
        call=first_answer,
        arguments=built.queries().arguments,
        facts=lambda: {"anonymous_mb": _anonymous_mb(built), "file_mb": built.file.stat().st_size / 1e6},
    )


_OPEN_ALONE = """
    import sys
    from pathlib import Path
    import numpy as np
    from aerotile.adapters.faiss import FaissDescriptorIndex

    def anonymous():
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    query = np.ones(int(sys.argv[2]), np.float32)
    before = anonymous()
    index = FaissDescriptorIndex(Path(sys.argv[1]))
    index.search(query, 10)
    print(anonymous() - before)
"""


def _anonymous_mb(built: BuiltIndex) -> float:
    """What an open index adds to a process that has FAISS loaded, in megabytes."""
    dimension = built.wanted.descriptors.shape[1]
    command = [sys.executable, "-c", textwrap.dedent(_OPEN_ALONE), str(built.root), str(dimension)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e6


def sha256_of(path: Path) -> str:
    """By the fastest way in Python: in one piece, of a mapping."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        return hashlib.sha256(mapping).hexdigest()


@contextmanager
def _hash(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    yield Calls(call=lambda: sha256_of(built.file))


def _opening(
    save: Callable[[Workshop], Path],
    load: Callable[[Path, int], graphs.Search],
    *,
    verified: bool,
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Hash the file when asked to, load it, answer once."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        path = save(workshop)
        dimension = built.wanted.descriptors.shape[1]

        def first_answer(query: Any) -> None:
            if verified:
                sha256_of(path)
            load(path, dimension)(query)

        with _one_thread():
            yield Calls(call=first_answer, arguments=built.queries().arguments)

    return opened


def _our_file(workshop: Workshop) -> Path:
    return workshop.shared(searched_index).file


def _save_hnswlib(workshop: Workshop) -> Path:
    path = workshop.path("descriptors.hnswlib")
    workshop.shared(hnswlib_index).save_index(str(path))
    return path


def _save_usearch(workshop: Workshop) -> Path:
    path = workshop.path("descriptors.usearch")
    workshop.shared(usearch_f16_index).save(str(path))
    return path


def _load_faiss(path: Path, dimension: int) -> graphs.Search:
    index: Any = faiss.read_index(str(path))
    return lambda query: index.search(query[np.newaxis], NEIGHBOURS)[1][0]


def _load_hnswlib(path: Path, dimension: int) -> graphs.Search:
    return graphs.hnswlib_search(graphs.load_hnswlib(path, dimension), NEIGHBOURS)


def _load_usearch(path: Path, dimension: int) -> graphs.Search:
    return graphs.usearch_search(graphs.view_usearch(path), NEIGHBOURS)


def _loaded(
    name: str,
    save: Callable[[Workshop], Path],
    load: Callable[[Path, int], graphs.Search],
    needs: tuple[str, ...] = (),
) -> tuple[Subject, Subject]:
    """A peer that checks what it opens, as ours does, and for reference the same without."""
    return (
        Subject(
            name=f"{name}, hashed first",
            role=Role.PEER,
            open=_opening(save, load, verified=True),
            needs=needs,
            note="SHA-256 of a mapping of the file, then its own load",
        ),
        Subject(
            name=f"{name}, unverified",
            role=Role.REFERENCE,
            open=_opening(save, load, verified=False),
            needs=needs,
        ),
    )


OPEN = MeasuredPath(
    id="P-8",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_open),
        Subject(name="SHA-256 of the file", role=Role.FLOOR, open=_hash, note="in one piece, of a mapping"),
        *_loaded("faiss flags 0", _our_file, _load_faiss),
        *_loaded("hnswlib", _save_hnswlib, _load_hnswlib, ("hnswlib",)),
        *_loaded("usearch view", _save_usearch, _load_usearch, ("usearch",)),
    ),
    full=Effort(blocks=10, rounds=10),
    quick=Effort(blocks=5, rounds=4),
)


# P-9


@contextmanager
def _find(workshop: Workshop) -> Iterator[Operation]:
    store: Any = workshop.shared(reading_store).store
    built = workshop.shared(stored_index)
    index = built.opened()
    for query in built.wanted.queries:  # so that all tiles are mapped, as P-1 has them
        find_tiles(query, CANDIDATES, index=index, store=store)
    yield Calls(
        call=lambda query: find_tiles(query, CANDIDATES, index=index, store=store),
        arguments=built.queries().arguments,
    )
    index.close()


@contextmanager
def _search_and_reads(workshop: Workshop) -> Iterator[Operation]:
    store = workshop.shared(reading_store).store
    built = workshop.shared(stored_index)
    index = built.opened()
    search, read = index.search, store.read_tile_pixels
    known: dict[bytes, list[TileId]] = {
        query.tobytes(): [hit.tile_id for hit in search(query, CANDIDATES)] for query in built.wanted.queries
    }
    queries = built.queries()

    def arguments() -> tuple[Any, list[TileId]]:
        (query,) = queries.arguments()
        return query, known[query.tobytes()]

    def call(query: Any, tiles: list[TileId]) -> None:
        search(query, CANDIDATES)
        for tile in tiles:
            read(tile)

    yield Calls(call=call, arguments=arguments)
    index.close()


FIND = MeasuredPath(
    id="P-9",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_find),
        Subject(
            name="P-7 + 5 x P-1",
            role=Role.FLOOR,
            open=_search_and_reads,
            note="one search of ours, then five reads of ours of tiles known before; no verdicts",
        ),
    ),
    full=Effort(blocks=10, rounds=400),
    quick=Effort(blocks=5, rounds=100),
)
