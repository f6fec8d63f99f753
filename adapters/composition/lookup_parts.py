"""The descriptor index of a flight, with its lookups on the flight record."""

from __future__ import annotations

from functools import cached_property
from uuid import uuid4

from ...domain.lookups.recorded_index import KnownContents, RecordedIndex, SearchableIndex
from ..config.settings import RecordLookups
from .base_parts import BaseParts
from .index_parts import IndexParts


class LookupParts(BaseParts, IndexParts):
    """Lookups: the index and the store together."""

    @cached_property
    def index_in_use(self) -> SearchableIndex:
        """The index that a flight searches. Raises as `descriptor_index` does."""
        index = self.descriptor_index
        lookups = self.config.record.lookups
        if lookups is RecordLookups.OFF:
            return index
        return RecordedIndex(
            index,
            self.recorder,
            run=uuid4().hex[:8],
            store=self._opened_store,
            keep_query=lookups is RecordLookups.FULL,
        )

    def _opened_store(self) -> KnownContents | None:
        """The store that this runtime has opened; a lookup opens none."""
        opened: KnownContents | None = vars(self).get("store_in_use", vars(self).get("sealed_store"))
        return opened
