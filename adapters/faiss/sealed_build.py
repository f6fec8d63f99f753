"""Writing the index of a sealed base: the descriptors of its tiles alone, and a graph of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import IndexMetadata
from ...domain.values.place_keys import translated_keys
from ...domain.values.tile_key import VariantTable
from .area_search import PlaceOrderedDescriptors, copied_descriptors
from .build import build_index, write_index_files
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WrittenIndex:
    """Write and sync the index of the tiles `taken`, which are keys by `variants`, into `folder`.

    The descriptors are copied as they are stored. The graph is built by one thread: FAISS promises nowhere
    that more of them link it alike. What was written is read back and verified. `progress(done, total)`
    counts descriptors. Raises `IndexBuildError`, `IndexUnavailableError` for a damaged source, and `OSError`.
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
            threads=1,
            progress=progress,
        )
        written, metadata_sha256 = write_index_files(
            folder,
            index,
            keys,
            descriptors,
            attrs.evolve(metadata, count=len(keys), faiss_version=faiss.__version__, variants=variants),
        )
    try:
        SealedDescriptorIndex(
            folder, metadata_sha256, ef_search=metadata.params.ef_search, warm_up=False
        ).verify()
    except IndexUnavailableError as error:
        raise IndexBuildError(f"what was written does not read back: {error}") from error
    return WrittenIndex(
        metadata=written,
        metadata_sha256=metadata_sha256,
        tiles=len(np.unique(keys)),
        dropped=int(np.count_nonzero(~is_taken)),
        built_by=f"faiss {faiss.__version__} {_faiss.SIMDConfig.get_level_name()}",
    )
