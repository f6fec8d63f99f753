"""Base and descriptor index together: sealing an index into a base, and searching the one that lies in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...domain.errors import BaseSealError
from ...domain.lookups.searchable_index import SearchableIndex
from ...domain.policies.index_agreement import (
    ChangedTiles,
    DescribedContents,
    IndexAgreement,
    changed_tiles,
    compare_index,
)
from ...domain.values.catalogue_entries import CatalogueColumns, Keys
from ...domain.values.counted import counted
from ...domain.values.tile_key import VariantTable
from .base_tools import BaseTools
from .index_parts import IndexParts, index_is_wanted, refuse_unwanted_index

if TYPE_CHECKING:
    from ..faiss.sealed_build import WrittenIndex
    from ..faiss.sealed_index import SealedDescriptorIndex
    from ..sealed_base.manifest import BaseManifest, SealedIndex
    from ..sealed_base.mapped_base import MappedBase
    from ..sealed_base.seal_plan import SealPlan


class SealingParts(BaseTools, IndexParts):
    """What needs both base and index."""

    @property
    def sealed_index(self) -> SealedDescriptorIndex | None:
        """The index of the base that a flight reads; None where there is no such base, or it has no index.

        Raises `RuntimeNotAvailableError`, `BaseUnavailableError`, `IndexUnavailableError`.
        """
        refuse_unwanted_index()
        return self.index_of_base if self.flies_by_base else None

    @cached_property
    def index_of_base(self) -> SealedDescriptorIndex | None:
        """The index of the base in use; None where it has none. Raises as `sealed_index` does."""
        refuse_unwanted_index()
        return self._index_of(self.mapped_base)

    @cached_property
    def searched_index(self) -> SearchableIndex:
        """The index that a flight searches: the base's, or else the one of `aerotile index`.

        Raises as `sealed_index` and `descriptor_index` do.
        """
        sealed = self.sealed_index
        return self.descriptor_index if sealed is None else sealed

    def _index_of(self, base: MappedBase) -> SealedDescriptorIndex | None:
        sealed = base.signed.manifest.index
        if sealed is None:
            return None
        from ..faiss.sealed_index import SealedDescriptorIndex

        settings = self.config.index
        index = SealedDescriptorIndex(
            base.folder,
            sealed.metadata_sha256,
            ef_search=settings.hnsw_params.ef_search,
            warm_up=settings.warm_up,
            descriptor_model=self.searched_model,
        )
        return self._closing(index, index.close)

    def compare_index(
        self, keys: Keys, variants: VariantTable, contents: DescribedContents | None
    ) -> tuple[IndexAgreement, ChangedTiles | None]:
        """Compare tile keys, and the bytes that were described, with the tiles that can be read.

        See `compare_index` and `changed_tiles`; None without `contents`. Opens no store. Raises
        `StoreUnavailableError`, `BaseUnavailableError`.
        """
        layers = [self._columns_of_base()] if self.flies_by_base else []
        if self.config.has_store:
            layers.append(self.rows.catalogue())
        agreement = compare_index(keys, variants, *((columns.keys, table) for columns, table in layers))
        return agreement, None if contents is None else changed_tiles(contents, layers)

    def compare_searched_index(self) -> tuple[IndexAgreement, ChangedTiles | None]:
        """Compare the index that a flight searches with the tiles that can be read.

        None where it does not say from which bytes its descriptors were made. Raises as `searched_index` and
        `compare_index` do.
        """
        sealed = self.sealed_index
        if sealed is not None:
            return self.compare_index(*sealed.tile_keys(), None)[0], changed_in_base(sealed)
        index = self.descriptor_index
        return self.compare_index(*index.tile_keys(), index.contents())

    def _columns_of_base(self) -> tuple[CatalogueColumns, VariantTable]:
        columns = CatalogueColumns.of_table(self.mapped_base.checked_facts())
        return columns, self.mapped_base.signed.manifest.variants

    def seal_base(
        self,
        plan: SealPlan,
        *,
        number: int | None = None,
        with_index: bool | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> BaseManifest:
        """Seal a generation from the tiles of the store; see `BaseGenerations.seal`.

        `with_index`: take the index in use along; None: where there is one. `progress(done, total)` counts
        tiles, then descriptors. Raises `IndexUnavailableError` and `IndexBuildError` too, and `BaseSealError`
        for an index that describes other bytes than the base would hold.
        """
        from importlib.metadata import version

        from ..sealed_base.seal import SealSource

        if with_index is None:
            with_index = index_is_wanted() and self.index_builder.generations.current() is not None
        in_force = self.recall_lists.read()
        source = SealSource(
            rows=self.rows.committed_metadata,
            read=self.files.read_hashed,
            sectors=self.sector_store.sectors(),
            rules=self.sector_store.rules(),
            datasets=self.dataset_store.datasets(),
            default_classification=self.config.freshness.default_classification,
            aerotile=version("aerotile"),
            recalls=None if in_force is None else in_force.recalls,
            write_index=self._index_writer(progress) if with_index else None,
        )
        return self.base_generations.seal(source, plan, number=number, progress=progress)

    def _index_writer(
        self, progress: Callable[[int, int], None]
    ) -> Callable[[Path, Keys, VariantTable], SealedIndex]:
        index = self.descriptor_index
        index.metadata()  # before the tiles are copied: is there one?

        def write(folder: Path, keys: Keys, variants: VariantTable) -> SealedIndex:
            contents = index.contents()
            if contents is not None:
                _refuse_changed(contents, folder, variants)
            return sealed_index_of(
                index.seal_into(folder, keys, variants, progress, describes_base=contents is not None)
            )

        return write


def changed_in_base(sealed: SealedDescriptorIndex) -> ChangedTiles | None:
    """None of its tiles: the seal compared them, and a base is never changed; None where it could not."""
    return ChangedTiles.none() if sealed.metadata().describes_base else None


def _refuse_changed(contents: DescribedContents, folder: Path, variants: VariantTable) -> None:
    """Raise `BaseSealError` where other bytes were described than the base in `folder` holds."""
    from ..sealed_base.facts import FACTS_ROW
    from ..sealed_base.manifest import FACTS_FILE

    facts = np.memmap(folder / FACTS_FILE, FACTS_ROW, "r")
    changed = changed_tiles(contents, [(CatalogueColumns.of_table(facts), variants)])
    if changed.tiles:
        raise BaseSealError(
            f"the index describes other bytes than the base would hold of {counted(changed.tiles, 'tile')}, "
            f"for instance {changed.listed[0]}",
            remedy="describe the tiles anew: aerotile describe FILE.npz --model NETWORK, then "
            "aerotile index build FILE.npz, then seal again",
        )


def sealed_index_of(written: WrittenIndex) -> SealedIndex:
    """What the manifest says of an index that was written."""
    from ..sealed_base.manifest import SealedIndex

    return SealedIndex(
        descriptor_model=written.metadata.descriptor_model,
        descriptors=written.metadata.count,
        tiles=written.tiles,
        dropped=written.dropped,
        built_by=written.built_by,
        metadata_sha256=written.metadata_sha256,
    )
