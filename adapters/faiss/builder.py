"""How a generation is built: which kind of graph, whether there is memory for it, and its folder filled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import HnswParams, IndexKind, IndexMetadata, VectorStorage
from ...domain.values.validators import check_kind
from ..available_memory import available_memory_bytes
from .build import SAMPLE, build_index, build_seconds, write_generation
from .build_memory import build_memory_bytes, refuse_without_memory
from .described_contents import read_contents
from .kinds import BuildEstimate, graph_file_bytes, kind_for, place_file_bytes
from .mapped_index import MappedIndex, open_mapped_index


@attrs.frozen(kw_only=True)
class IndexBuilder:
    """Builds with these parameters, in this storage, on at most so many threads."""

    params: HnswParams
    storage: VectorStorage
    threads: int

    def storing(self, storage: VectorStorage) -> IndexBuilder:
        """The same builder for another storage."""
        return attrs.evolve(self, storage=storage)

    def kind(self, asked: IndexKind | None, count: int, dimension: int) -> IndexKind:
        """The kind that is `asked` for, or the one that `auto` means (None). Raises `TypeError`."""
        if asked is None:
            return kind_for(count, dimension, self.params, self.storage)
        check_kind(asked, IndexKind, "kind")
        return asked

    def memory_bytes(self, count: int, dimension: int, kind: IndexKind) -> int:
        """The most memory that a build takes, beside what it is given."""
        return build_memory_bytes(count, dimension, self.params, self.storage, self.threads, kind)

    def check_memory(self, count: int, dimension: int, kind: IndexKind) -> None:
        """Raise `IndexBuildError` where the machine has too little memory for a build."""
        refuse_without_memory(
            count,
            dimension,
            self.params,
            self.storage,
            kind=kind,
            threads=self.threads,
            available=available_memory_bytes(),
        )

    def fill(
        self,
        folder: Path,
        keys: Keys,
        descriptors: npt.NDArray[Any],
        metadata: IndexMetadata,
        progress: Callable[[int, int], None] | None,
        contents: npt.NDArray[np.uint8] | None,
    ) -> MappedIndex:
        """Build row i under key i as `metadata` says, write the generation's files, and read them back.

        `contents` as for `write_generation`.
        Raises `IndexBuildError`, `OSError`, and what `progress` raises.
        """
        index = build_index(
            keys,
            descriptors,
            metadata.params,
            metadata.storage,
            kind=metadata.kind,
            threads=self.threads,
            progress=progress,
        )
        write_generation(folder, index, keys, descriptors, metadata, contents)
        try:
            mapped = open_mapped_index(folder, self.params.ef_search)
            if mapped.areas is not None:
                mapped.areas.verify()
            read_contents(folder, mapped.metadata)
            return mapped
        except IndexUnavailableError as error:
            raise IndexBuildError(f"what was written does not read back: {error}") from error

    def estimates(self, sample: npt.NDArray[Any], count: int, asked: IndexKind | None) -> list[BuildEstimate]:
        """What each kind would take of `count` descriptors like those of `sample`; see `build_seconds`."""
        dimension = sample.shape[1]
        chosen = self.kind(asked, count, dimension)
        return [
            BuildEstimate(
                kind=kind,
                chosen=kind is chosen,
                count=count,
                dimension=dimension,
                build_memory_bytes=self.memory_bytes(count, dimension, kind),
                graph_bytes=graph_file_bytes(count, dimension, self.params, self.storage, kind),
                place_bytes=place_file_bytes(count, dimension, self.storage),
                build_seconds=build_seconds(
                    count, sample[:SAMPLE], self.params, self.storage, kind=kind, threads=self.threads
                ),
            )
            for kind in IndexKind
        ]
