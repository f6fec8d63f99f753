"""Writing the index of a sealed base: the descriptors of its tiles alone, and a graph of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import HnswParams, IndexMetadata, VectorStorage
from ...domain.values.place_keys import translated_keys
from ...domain.values.tile_key import VariantTable
from ..available_memory import available_memory_bytes
from ..index_files import METADATA_FILE
from .area_search import PlaceOrderedDescriptors, copied_descriptors
from .build import build_index, write_index_files
from .build_memory import refuse_without_memory
from .kinds import kind_for
from .sealed_index import SealedDescriptorIndex

_faiss: Any = faiss  # the type stubs that faiss ships lack some names


@attrs.frozen(kw_only=True)
class WrittenIndex:
    """What was written into a generation of a base."""

    metadata: IndexMetadata
    metadata_sha256: str
    """Of the metadata's file, which binds graph and rows."""
    tiles: int
    """Tiles of the base that have a descriptor."""
    dropped: int
    """Descriptors of tiles that the base did not take."""
    built_by: str
    """The version of FAISS and the instruction set that it used, which decide the graph's bytes."""


def write_sealed_index(
    folder: Path,
    metadata: IndexMetadata,
    source: PlaceOrderedDescriptors,
    taken: Keys,
    variants: VariantTable,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    describes_base: bool = False,
) -> WrittenIndex:
    """Write and sync the index of the tiles `taken`, which are keys by `variants`, into `folder`.

    The descriptors are copied as they are stored. From FAISS 1.15 on the graph follows from their order,
    whatever the number of threads (facebookresearch/faiss#5486, after ParlayANN, arXiv 2305.04359). What was
    written is read back and verified. `describes_base`: the caller knows that the descriptors were made from
    the bytes that the base holds. `progress(done, total)` counts descriptors. Raises `IndexBuildError`,
    `IndexUnavailableError` for a damaged source, and `OSError`.
    """
    keys = translated_keys(source.keys, metadata.variants, variants)
    is_taken = np.isin(keys, taken)
    keys = keys[is_taken]
    if not len(keys):
        raise IndexBuildError(
            "the index holds no descriptor of a tile that the base takes",
            remedy="build the index of these tiles with `aerotile index build`, or seal with --no-index",
        )
    with copied_descriptors(folder, source, is_taken) as descriptors:
        index = build_index(
            keys,
            descriptors,
            metadata.params,
            metadata.storage,
            kind=metadata.kind,
            threads=threads,
            progress=progress,
        )
        written, metadata_sha256 = write_index_files(
            folder,
            index,
            keys,
            descriptors,
            attrs.evolve(
                metadata,
                count=len(keys),
                faiss_version=faiss.__version__,
                variants=variants,
                contents_sha256=None,
                describes_base=describes_base,
            ),
        )
    verify_sealed_index(folder, metadata_sha256)
    return WrittenIndex(
        metadata=written,
        metadata_sha256=metadata_sha256,
        tiles=len(np.unique(keys)),
        dropped=int(np.count_nonzero(~is_taken)),
        built_by=_built_by(),
    )


def write_described_index(
    folder: Path,
    source: PlaceOrderedDescriptors,
    *,
    dimension: int,
    params: HnswParams,
    storage: VectorStorage,
    descriptor_model: str,
    built_at: datetime,
    left_out: Keys,
    threads: int,
    progress: Callable[[int, int], None],
) -> WrittenIndex:
    """Write the descriptors of tiles without a flight, but for those `left_out`; see `write_sealed_index`.

    They were made from the bytes that the base holds.
    """
    count = len(source.keys)
    refuse_without_memory(
        count, dimension, params, storage, threads=threads, available=available_memory_bytes()
    )
    metadata = IndexMetadata(
        dimension=dimension,
        count=count,
        params=params,
        storage=storage,
        kind=kind_for(count, dimension, params, storage),
        descriptor_model=descriptor_model,
        faiss_version=faiss.__version__,
        sha256="",
        built_at=built_at,
        variants=VariantTable(),
    )
    taken = np.setdiff1d(source.keys, left_out)
    return write_sealed_index(
        folder,
        metadata,
        source,
        taken,
        VariantTable(),
        threads=threads,
        progress=progress,
        describes_base=True,
    )


def verify_sealed_index(folder: Path, metadata_sha256: str) -> SealedDescriptorIndex:
    """Read an index back, every byte of it. Raises `IndexBuildError`."""
    try:
        opened = SealedDescriptorIndex(folder, metadata_sha256, ef_search=1, warm_up=False)
        opened.verify()
    except IndexUnavailableError as error:
        raise IndexBuildError(f"what was written does not read back: {error}") from error
    return opened


def sealed_index_in(
    folder: Path, *, given: int, metadata_sha256: str | None = None, taken: Keys | None = None
) -> WrittenIndex:
    """The index in a folder that was made of so many descriptors, every byte of it checked.

    None: whatever its metadata says, of whatever tiles. Raises `IndexBuildError`, `OSError`.
    """
    if metadata_sha256 is None:
        metadata_sha256 = hashlib.sha256((folder / METADATA_FILE).read_bytes()).hexdigest()
    opened = verify_sealed_index(folder, metadata_sha256)
    keys, _ = opened.tile_keys()
    written = opened.metadata()
    opened.close()
    if taken is not None and not np.isin(keys, taken).all():
        raise IndexBuildError(f"the index in {folder} holds tiles that the base leaves out")
    return WrittenIndex(
        metadata=written,
        metadata_sha256=metadata_sha256,
        tiles=len(np.unique(keys)),
        dropped=given - len(keys),
        built_by=_built_by(),
    )


def _built_by() -> str:
    return f"faiss {faiss.__version__} {_faiss.SIMDConfig.get_level_name()}"
