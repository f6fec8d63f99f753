"""What the recall list in force names, for tools that count and explain."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.lookups.recalled_index import TileFacts
from ...domain.values.recall_list import RecallList
from .lookup_parts import LookupParts


class RecallParts(LookupParts):
    """The recall list in force beside the tiles of the base and the store. No store is opened."""

    def tile_facts(self) -> Iterator[tuple[str, TileFacts]]:
        """`base` and `store`, those that are here, with what is known of their tiles.

        Raises `BaseUnavailableError`, `StoreUnavailableError`.
        """
        if self.base_generations.current() is not None:
            yield "base", self._sealed_contents(self.config.base_folder)
        if self.config.has_store:
            yield "store", self._stored_contents()

    def digests_of_dataset(self, name: str) -> set[str]:
        """The SHA-256 of each tile of a dataset that lies in the base in use or in the store.

        Takes about 5 s for a million tiles. Raises as `tile_facts` does.
        """
        found: set[str] = set()
        if self.base_generations.current() is not None:
            found.update(self._sealed_contents(self.config.base_folder).digests_of_dataset(name))
        if self.config.has_store:
            found.update(row.content_sha256 for row in self.rows.committed() if row.dataset == name)
        return found

    def count_recalled(self, recalls: RecallList) -> dict[str, int | None]:
        """How many tiles a list names, of the base in use and of the store; None for one that is not here.

        Takes about 5 s for a million tiles. Raises as `tile_facts` does.
        """
        has_base = self.base_generations.current() is not None
        return {
            "recalled_in_base": self._recalled_in_base(recalls) if has_base else None,
            "recalled_in_store": self.recalled_in_store(recalls) if self.config.has_store else None,
        }

    def recalled_in_store(self, recalls: RecallList) -> int:
        """How many tiles of the store a list names. Raises `StoreUnavailableError`."""
        rows = self.rows.committed()
        return sum(recalls.entry_for_tile(row) is not None for row in rows) if recalls.entries else 0

    def _recalled_in_base(self, recalls: RecallList) -> int:
        if not recalls.entries:
            return 0
        facts = self._sealed_contents(self.config.base_folder).facts()
        return sum(recalls.entry_for(*each) is not None for each in facts)
