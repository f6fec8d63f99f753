"""The index that lookups search."""

from __future__ import annotations

from typing import Protocol

from ..ports.descriptor_index import DescriptorIndex, SupportsAreaSearch, SupportsKeyListing


class SearchableIndex(DescriptorIndex, SupportsAreaSearch, SupportsKeyListing, Protocol):
    """An index with both searches."""
