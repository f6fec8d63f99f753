"""The descriptor index: an HNSW graph that FAISS searches inside a mapped, verified file."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.policies.index_agreement import DescribedContents
from ...domain.values.areas import Area
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import HnswParams, IndexKind, IndexMetadata, SearchHit, VectorStorage
from ...domain.values.tile_key import VariantTable
from ...domain.values.tiles import TileId
from ...ext import TileKeyCodec
from ..descriptor_arrays import check_build, check_components, check_contents, check_descriptors, encode_tiles
from ..files.refused_writes import refused_by_disk
from ..own_process import OwnProcess
from .area_search import AreaSearch, copied_descriptors
from .build import SAMPLE
from .builder import IndexBuilder
from .described_contents import read_contents
from .generations import IndexGenerations
from .kinds import BuildEstimate
from .mapped_index import MappedIndex, open_mapped_index
from .place_order import ROWS_PER_BLOCK
from .queries import quickly_checked_query
from .sealed_build import WrittenIndex, write_sealed_index

_logger = logging.getLogger(__name__)
_MODEL_REMEDY = (
    "build the index with the configured network, or correct index.descriptor_model and [descriptor]"
)
_ATTEMPTS = 3
"""How often opening starts anew because another process switched and pruned meanwhile."""


class FaissDescriptorIndex:
    """A `DescriptorIndex` over generation folders (see `generations`); threads may share it.

    The generation in use decides dimension, metric, graph and storage of a search; of `params` a search takes
    `ef_search`, a rebuild all. `keep_generations` older generations stay for a rollback. `threads` is for
    building; a search runs on its caller's thread. Memory: the mapping is shared with the page cache, what is
    private is about 15 bytes per tile.

    Construction raises `IndexUnavailableError` when the generation in use is damaged, or holds descriptors of
    another network than `descriptor_model` (None: of any). Without any generation it succeeds and searches
    raise, so that a first build has something to call; `open_existing=False` gives a tool the same freedom
    over a damaged one. A rebuild and a rollback are held to `descriptor_model` as well.
    """

    def __init__(
        self,
        root: Path,
        *,
        params: HnswParams | None = None,
        storage: VectorStorage = VectorStorage.FLOAT16,
        keep_generations: int = 2,
        warm_up: bool = True,
        threads: int | None = None,
        open_existing: bool = True,
        descriptor_model: str | None = None,
    ) -> None:
        if keep_generations < 0:
            raise ValueError(f"keep_generations must be 0 or more, got {keep_generations!r}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads!r}")
        self._process = OwnProcess()
        self.generations = IndexGenerations(root)
        self._keep_generations = keep_generations
        self._warm_up = warm_up
        self._descriptor_model = descriptor_model
        self._builder = IndexBuilder(
            params=HnswParams() if params is None else params,
            storage=storage,
            threads=threads or faiss.omp_get_max_threads(),
        )
        self._closed = False
        self._swap = threading.Lock()
        self._mapped = self._open_current() if open_existing else None

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """The `k` nearest tiles, nearest first, each once by its best descriptor; no database is asked.

        Fewer come back when the index holds fewer.

        `descriptor` has shape (dimension,), dtype float32, finite, of length 1e18 or less, and by inner
        product of 1e-15 or more. Raises `ValueError` for any other query and for k < 1,
        `IndexUnavailableError` when no generation is open.
        """
        # The local reference keeps the mapping alive while a rebuild swaps and drops it.
        mapped = self._in_use()
        metadata = mapped.metadata
        query = quickly_checked_query(descriptor, metadata.dimension, k, metadata.metric)
        return mapped.nearest(query, int(k))

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`: exact, at the cost of the area's rows. No database is asked.

        Raises as `search` does, and `IndexUnavailableError` for a generation built without place order, and
        for descriptors that are damaged or that the disk does not give.
        """
        mapped = self._in_use()
        metadata = mapped.metadata
        query = quickly_checked_query(descriptor, metadata.dimension, k, metadata.metric)
        return self._areas_of(mapped).nearest(query, int(k), area)

    def rebuild(
        self,
        tile_ids: Sequence[TileId],
        descriptors: npt.NDArray[np.float32],
        *,
        descriptor_model: str,
        built_at: datetime,
        progress: Callable[[int, int], None] | None = None,
        content_sha256: npt.NDArray[np.uint8] | None = None,
        kind: IndexKind | None = None,
    ) -> IndexMetadata:
        """Build a new generation from row i = tile i, make it durable, and answer from it.

        `content_sha256` has shape (n, 32): the SHA-256 of the bytes that row i was made from. Without it
        tiles that are replaced later can't be found out. `kind` is what the graph holds; by default
        `kind_for` chooses it. A tile may come several times, with several descriptors. `descriptors` has
        shape (n, d), float32, finite. `progress(done, total)` counts descriptors. Searches under way finish
        on the old generation. The new one is read back and verified before the switch.
        Raises `IndexBuildError`, also while another build is under way; then the old generation stays. Only
        when the last sync of all fails may the next process find either, whole.
        """
        if self._closed:
            raise IndexBuildError(f"the descriptor index in {self.generations.root} is closed")
        check_build(descriptor_model, built_at, progress)
        check_descriptors(tile_ids, descriptors)
        check_contents(content_sha256, len(descriptors))
        if self._descriptor_model not in (None, descriptor_model):
            raise IndexBuildError(
                f"these are descriptors of {descriptor_model!r}, the configured network is "
                f"{self._descriptor_model!r}",
                remedy=_MODEL_REMEDY,
            )
        count, dimension = descriptors.shape
        builder = self._builder
        kind = builder.kind(kind, count, dimension)
        builder.check_memory(count, dimension, kind)

        def build(folder: Path) -> MappedIndex:
            check_components(tile_ids, descriptors, builder.storage)
            variants, keys = encode_tiles(tile_ids, lambda table: TileKeyCodec(table).encode)
            metadata = IndexMetadata(
                dimension=dimension,
                count=count,
                params=builder.params,
                kind=kind,
                storage=builder.storage,
                descriptor_model=descriptor_model,
                faiss_version=faiss.__version__,
                sha256="",
                built_at=built_at,
                variants=variants,
            )
            return builder.fill(folder, keys, descriptors, metadata, progress, content_sha256)

        return self._built(build)

    def rebuild_kept(
        self,
        *,
        built_at: datetime,
        progress: Callable[[int, int], None] | None = None,
        kind: IndexKind | None = None,
    ) -> IndexMetadata:
        """Build a new generation from the descriptors of the one in use, as they are stored.

        For a generation that lacks what this program searches by, and for one of another `kind` or other
        parameters. `built_at`, `progress`, `kind` and errors as of `rebuild`, and for a generation that
        another process has replaced meanwhile; raises `IndexUnavailableError` too, without a generation and
        for a damaged one.
        """
        mapped = self._in_use()
        kept = mapped.metadata
        check_build(kept.descriptor_model, built_at, progress)
        builder = self._builder.storing(kept.storage)
        kind = builder.kind(kind, kept.count, kept.dimension)
        builder.check_memory(kept.count, kept.dimension, kind)
        metadata = attrs.evolve(
            kept,
            params=attrs.evolve(builder.params, metric=kept.metric),
            kind=kind,
            built_at=built_at,
            faiss_version=faiss.__version__,
        )

        def build(folder: Path) -> MappedIndex:
            in_use = self.generations.current()
            if in_use != kept.generation:
                raise IndexBuildError(
                    f"generation {in_use} was put in use in {self.generations.root} after {kept.generation}, "
                    "whose descriptors this build would take, had been opened",
                    remedy="build again: it takes those in use",
                )
            if mapped.areas is None:
                return builder.fill(folder, mapped.keys(), mapped.vectors(), metadata, progress, None)
            contents = read_contents(self.generations.folder(str(kept.generation)), kept)
            with copied_descriptors(folder, mapped.areas) as descriptors:
                return builder.fill(folder, mapped.areas.keys, descriptors, metadata, progress, contents)

        return self._built(build)

    def _built(self, build: Callable[[Path], MappedIndex]) -> IndexMetadata:
        """Let `build` fill the folder of a new generation, switch to it and answer from it."""
        what = f"a new generation in {self.generations.root} can't be written"
        with refused_by_disk(IndexBuildError, what, then="build again"), self.generations.locked():
            with self.generations.building(switch=True) as partial:
                mapped = build(partial)
            self._adopt(mapped)
            self._prune()
        return mapped.metadata

    def rollback(self, generation: str | None = None) -> IndexMetadata:
        """Verify another generation, by default the one before, and answer from it, durably, by one rename.

        Raises `IndexUnavailableError` when there is none or it is damaged, `IndexBuildError` when a build is
        under way; then this process answers as before. Only when the last sync of all fails may the next one
        find either generation in use.
        """
        if not self.generations.names():
            raise self._none_built()
        what = f"the generation in use in {self.generations.root} can't be switched"
        with refused_by_disk(IndexUnavailableError, what, then="try again"), self.generations.locked():
            name = self.generations.previous() if generation is None else generation
            if name not in self.generations.names():
                raise IndexUnavailableError(
                    f"{self.generations.root} holds no generation {name!r}",
                    remedy=f"it holds {', '.join(self.generations.names()) or 'none'}",
                )
            mapped = open_mapped_index(self.generations.folder(name), self._builder.params.ef_search)
            self._check_model(mapped)
            self.generations.switch(name)
            self._adopt(mapped)
        return mapped.metadata

    def seal_into(
        self,
        folder: Path,
        taken: Keys,
        variants: VariantTable,
        progress: Callable[[int, int], None],
        *,
        describes_base: bool = False,
    ) -> WrittenIndex:
        """Write the descriptors of the tiles `taken` into a base; see `write_sealed_index`."""
        mapped = self._in_use()
        metadata = mapped.metadata
        builder = attrs.evolve(self._builder, params=metadata.params, storage=metadata.storage)
        builder.check_memory(metadata.count, metadata.dimension, metadata.kind)
        return write_sealed_index(
            folder,
            metadata,
            self._areas_of(mapped),
            taken,
            variants,
            threads=builder.threads,
            progress=progress,
            describes_base=describes_base,
        )

    def build_memory_bytes(self, count: int, dimension: int, kind: IndexKind | None = None) -> int:
        """The most memory that a rebuild from `count` descriptors takes, beside what it is given."""
        return self._builder.memory_bytes(count, dimension, self._builder.kind(kind, count, dimension))

    def estimates(
        self, descriptors: npt.NDArray[np.float32] | None = None, *, kind: IndexKind | None = None
    ) -> list[BuildEstimate]:
        """What each kind would take of `descriptors`, by default of those kept; `kind` as for `rebuild`.

        Builds a sample of each kind in memory, which takes some seconds, and nothing else. Raises
        `IndexBuildError`, and `IndexUnavailableError` without descriptors kept.
        """
        if descriptors is not None:
            check_descriptors(range(len(descriptors)), descriptors)
            return self._builder.estimates(descriptors, len(descriptors), kind)
        mapped = self._in_use()
        if mapped.areas is None:
            sample = mapped.vectors()
        else:
            blocks = itertools.islice(mapped.areas.blocks(), -(-SAMPLE // ROWS_PER_BLOCK))
            sample = np.concatenate([vectors for _, vectors in blocks])
        kept = mapped.metadata
        return self._builder.storing(kept.storage).estimates(sample, kept.count, kind)

    def metadata(self) -> IndexMetadata:
        """What is known about the generation in use. Raises `IndexUnavailableError`."""
        return self._in_use().metadata

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """See `SupportsKeyListing`."""
        mapped = self._in_use()
        return mapped.keys(), mapped.metadata.variants

    def contents(self) -> DescribedContents | None:
        """From which bytes the descriptors of the generation in use were made; None where it does not say.

        Reads and hashes `tiles.contents`, 8 bytes a row. Raises `IndexUnavailableError`.
        """
        mapped = self._in_use()
        metadata = mapped.metadata
        digests = read_contents(self.generations.folder(str(metadata.generation)), metadata)
        if digests is None:
            return None
        return DescribedContents(self._areas_of(mapped).keys, metadata.variants, digests)

    def dimension(self) -> int:
        """Length of a descriptor. Raises `IndexUnavailableError`."""
        return self._in_use().metadata.dimension

    def close(self) -> None:
        """Give the index's memory back once the searches under way are done; a second call does nothing."""
        if self._process.is_current:
            with self._swap:
                self._closed = True
                self._mapped = None
        else:  # a thread of the parent may have held the lock at the fork
            self._closed = True
            self._mapped = None

    def _in_use(self) -> MappedIndex:
        mapped = self._mapped
        if mapped is None:
            if self._closed:
                raise IndexUnavailableError(
                    f"the descriptor index in {self.generations.root} is closed",
                    remedy="call the factory again: build_descriptor_index(config)",
                )
            raise self._none_built()
        return mapped

    def _areas_of(self, mapped: MappedIndex) -> AreaSearch:
        if mapped.areas is None:
            raise IndexUnavailableError(
                f"the index in {self.generations.root} was built before searches within an area",
                remedy="run `aerotile index build` without a file: it takes the descriptors kept",
            )
        return mapped.areas

    def _check_model(self, mapped: MappedIndex) -> None:
        """Raise `IndexUnavailableError` for descriptors that can't be compared with those of the flight."""
        built_with = mapped.metadata.descriptor_model
        if self._descriptor_model not in (None, built_with):
            raise IndexUnavailableError(
                f"the descriptor index in {self.generations.root} holds descriptors of {built_with!r}, "
                f"the configured network is {self._descriptor_model!r}",
                remedy=_MODEL_REMEDY,
            )

    def _none_built(self) -> IndexUnavailableError:
        return IndexUnavailableError(
            f"there is no descriptor index in {self.generations.root}",
            remedy="build one with `aerotile index build`",
        )

    def _adopt(self, mapped: MappedIndex) -> None:
        with self._swap:
            if not self._closed:
                self._mapped = mapped

    def _open_current(self) -> MappedIndex | None:
        name = self.generations.current()
        for attempt in range(_ATTEMPTS):
            if name is None:
                return None
            try:
                mapped = open_mapped_index(self.generations.folder(name), self._builder.params.ef_search)
            except IndexUnavailableError:
                before, name = name, self.generations.current()
                if name == before or attempt == _ATTEMPTS - 1:
                    raise
                continue
            self._check_model(mapped)
            if self._warm_up:
                mapped.nearest(np.zeros(mapped.metadata.dimension, np.float32), 1)
            return mapped
        return None

    def _prune(self) -> None:
        try:
            self.generations.prune(self._keep_generations)
        except (OSError, IndexUnavailableError) as error:
            # The new generation is in use and durable; an old one too many is no reason to fail.
            why = error.explained if isinstance(error, IndexUnavailableError) else error.strerror
            _logger.warning("old index generations in %s stay: %s", self.generations.root, why)
