"""Tools for the generations of a base: keys, switches, copies, checks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ...domain.errors import BaseUnavailableError
from ...domain.store.io_budget import IoBudget
from .base_parts import BaseParts

if TYPE_CHECKING:
    from ..sealed_base.check import BaseCheck, BaseFinding
    from ..sealed_base.generations import SignedManifest
    from ..sealed_base.key_lists import SignedKeyList

Progress = Callable[[int, int], None]
"""Called with what is done, and how much there is of it."""

_log = logging.getLogger("aerotile.base")


class BaseTools(BaseParts):
    """What an operator does with the generations of a base. A flight calls none of it."""

    def apply_key_list(self, envelope: bytes, where: str, *, force: bool) -> tuple[SignedKeyList, bool]:
        """Put a list of keys in force; see `KeyLists.apply`.

        Without `force` refused where the generation in use would be refused from then on.
        """
        from ..signatures import who_signed

        is_checked = self.config.base.require_signature and not force
        name = self.base_generations.current() if is_checked else None
        if name is not None:
            trust = self.key_lists.open(envelope, where).keys.trust
            opened = self.base_generations.manifest(name, trust)
            if not opened.is_trusted:
                raise BaseUnavailableError(
                    f"generation {name} of the base, which is in use, {who_signed(opened.signers, trust)}",
                    remedy="first switch to a generation that keys of the list signed too, or add --force",
                )
        return self.key_lists.apply(envelope, where)

    def switch_base(self, name: str | None) -> SignedManifest:
        """Make a generation the one in use, by default the newest; see `BaseGenerations.switch_to`.

        It is opened before, so that one that no flight could open is refused.
        """
        from ..sealed_base.mapped_base import open_base

        kept, trust, required = self.base_generations, self.base_trust, self.config.base.require_signature
        names = kept.names()
        chosen = name or (names[-1] if names else None)
        if chosen in names:
            with closing(open_base(kept, chosen, trust, require_signature=required)) as base:
                base.check_sizes()
        return kept.switch_to(name, trust, require_signature=required, recall_number=self.recall_number())

    def export_base(self, name: str, target: Path, progress: Progress) -> SignedManifest:
        """Copy a generation to another folder of bases; see `export_generation`."""
        from ..sealed_base.export import export_generation

        return export_generation(self.base_generations, name, target, self.base_trust, progress)

    def export_base_file(self, name: str, target: Path, progress: Progress) -> tuple[SignedManifest, str]:
        """Write a generation to one file; see `export_file`."""
        from ..sealed_base.one_file import export_file

        return export_file(self.base_generations, name, target, self.base_trust, progress)

    def import_base_file(self, source: Path, progress: Progress) -> SignedManifest:
        """Add the generation in a file that `export_base_file` wrote; see `import_file`."""
        from ..sealed_base.one_file import import_file

        return import_file(self.base_generations, source, self.base_trust, progress)

    def check_base(
        self,
        name: str,
        *,
        check: BaseCheck | None = None,
        max_bytes_per_s: int | None = None,
        progress: Progress = lambda done, total: None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> list[BaseFinding]:
        """Hash every byte of a generation, whoever signed it; see `check_base`.

        The outcome is noted in the root folder, where `aerotile ready` finds it.
        """
        from ..sealed_base.check import check_base
        from ..sealed_base.checked_base import write_checked_base
        from ..sealed_base.mapped_base import open_base

        base = open_base(self.base_generations, name, self.base_trust, require_signature=False)
        pace = (lambda _: None) if max_bytes_per_s is None else IoBudget(max_bytes_per_s, self.clock).spend
        findings = check_base(base, check=check, pace=pace, progress=progress, checkpoint=checkpoint)
        try:
            write_checked_base(self.config.root, base.signed.identity, findings)
        except OSError as error:
            _log.warning("the check of the base can't be noted in %s: %s", self.config.root, error.strerror)
        return findings

    def count_base_twins(self) -> int:
        """How many tiles of the store the base holds too, so that they are read from the base.

        Raises `BaseUnavailableError`, `StoreUnavailableError`.
        """
        from ...ext import TileKeyCodec

        columns, variants = self.rows.catalogue()
        base = self.sealed_store
        return sum(base.tile_exists(tile_id) for tile_id in TileKeyCodec(variants).decode_many(columns.keys))
