"""The sealed base of a runtime: its generations, and the one in use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

import attrs

from ...domain.errors import BaseUnavailableError, ConfigurationError, SealedTileError
from ...domain.make_events import base_opened_event, base_tile_damaged_event
from ...domain.policies.freshness import FreshnessGrounds, FreshnessVerdict
from ...domain.ports.tile_store import AmendedTile
from ...domain.store.clock_guard import ClockGuard, KnownTimes, latest_known
from ...domain.store.freshness_gate import FreshnessGate, judge_stored
from ...domain.store.layered_store import LayeredTileStore
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.sectors import SectorClassification
from ...domain.values.tiles import TileId
from ..config.settings import BaseMemory, BaseVerify, BudgetConfig

if TYPE_CHECKING:
    from ..sealed_base.generations import BaseGenerations
    from ..sealed_base.key_lists import KeyLists
    from ..sealed_base.mapped_base import MappedBase
    from ..sealed_base.store import SealedTileStore
    from ..signatures import Trust


from .store_parts import StoreParts

_log = logging.getLogger("aerotile.base")


@attrs.frozen
class _TimesOfBase:
    """The `KnownTimes` that a base proves by itself."""

    capture_us: int

    def latest_capture_us(self) -> int:
        return self.capture_us

    def latest_access_us(self) -> int:
        return 0


@attrs.frozen
class _TimesOfLayers:
    """The `KnownTimes` that a base and the store behind it prove together."""

    base: KnownTimes
    store: KnownTimes

    def latest_capture_us(self) -> int:
        return max(self.base.latest_capture_us(), self.store.latest_capture_us())

    def latest_access_us(self) -> int:
        return self.store.latest_access_us()


class BaseParts(StoreParts):
    """The generations of the base and whose signatures count, and the base that is read."""

    @property
    def flies_by_base(self) -> bool:
        """Whether a flight reads a base: it lies in front of the store, or there is no store."""
        if self.config.base.layered:
            return True
        return not self.config.has_store and self.base_generations.current() is not None

    @cached_property
    def mapped_base(self) -> MappedBase:
        """The generation in use, checked as far as its opening does. Raises `BaseUnavailableError`."""
        from ..sealed_base.mapped_base import open_current_base

        base = open_current_base(
            self.config.base_folder,
            self.base_trust,
            require_signature=self.config.base.require_signature,
            recall_number=self.recall_number(),
        )
        signed = base.signed
        if not signed.is_trusted:
            _log.warning("the sealed base %s is in use without the signatures it needs", base.folder)
        self.recorder.record(
            base_opened_event(
                signed.manifest.name, signed.identity, signed.signers, is_trusted=signed.is_trusted
            )
        )
        return base

    @cached_property
    def base_grounds(self) -> FreshnessGrounds:
        """The base's sectors and rules, with the stricter default of base and configuration."""
        base = self.mapped_base
        default = SectorClassification(base.signed.manifest.default_classification)
        grounds = FreshnessGrounds(base.sectors, base.rules, default)
        return grounds.with_default(self.config.freshness.default_classification)

    @cached_property
    def freshness_grounds(self) -> tuple[FreshnessGrounds, ...]:
        """The grounds of the store, and those of a base that lies in front of it."""
        grounds = super().freshness_grounds
        return (*grounds, self.base_grounds) if self.config.base.layered else grounds

    @cached_property
    def tiles_budget(self) -> BudgetConfig:
        """The budget, less the generations of a base that lies in front of the store."""
        budget = super().tiles_budget
        if not self.config.base.layered:
            return budget
        taken = self.base_generations.total_bytes()
        if taken >= budget.max_bytes:
            raise ConfigurationError(
                f"the generations in {self.config.base_folder} take {taken} bytes of "
                f"budget.max_bytes, which is {budget.max_bytes}",
                remedy="raise budget.max_bytes, or remove old generations",
            )
        return attrs.evolve(budget, max_bytes=budget.max_bytes - taken)

    @cached_property
    def _known_times(self) -> KnownTimes:
        """Those of the store, and of a base that lies in front of it."""
        stored = super()._known_times
        return _TimesOfLayers(self._times_of_base, stored) if self.config.base.layered else stored

    @cached_property
    def _times_of_base(self) -> _TimesOfBase:
        return _TimesOfBase(self.mapped_base.signed.manifest.latest_capture_us)

    def _latest_known(self) -> datetime:
        """The latest time that database and base prove, those that a flight reads; the base is not opened."""
        stored = super()._latest_known() if self.config.has_store else latest_known(0, 0)
        if not self.flies_by_base:
            return stored
        with suppress(BaseUnavailableError):
            name = self.base_generations.current()
            if name is not None:
                manifest = self.base_generations.manifest(name, self.base_trust).manifest
                return max(stored, latest_known(manifest.latest_capture_us, 0))
        return stored

    @cached_property
    def store_in_use(self) -> FileBackedTileStore | LayeredTileStore:
        """The store, behind the sealed base where one is configured. Raises `BaseUnavailableError`."""
        overlay = self.tile_store
        if not self.config.base.layered:
            return overlay
        base = self._sealed_store(overlay.judge, overlay.read_tile_pixels)
        return LayeredTileStore(base, overlay, recorder=self.recorder, read_pixels=base.read_tile_pixels)

    def pin_tiles(self, tile_ids: Sequence[TileId], *, pinned: bool) -> list[TileId]:
        """See `StoreParts.pin_tiles`. Raises `SealedTileError` when a tile to pin is of the base."""
        if pinned:
            self._refuse_sealed(tile_ids)
        return super().pin_tiles(tile_ids, pinned=pinned)

    def amend_tiles(self, tile_ids: Sequence[TileId], captured_at: datetime) -> list[AmendedTile]:
        """See `StoreParts.amend_tiles`. Raises `SealedTileError` when a tile is of the base."""
        self._refuse_sealed(tile_ids)
        return super().amend_tiles(tile_ids, captured_at)

    def delete_tiles(self, tile_ids: Sequence[TileId]) -> int:
        """See `StoreParts.delete_tiles`. Raises `SealedTileError` when a tile is of the base."""
        self._refuse_sealed(tile_ids)
        return super().delete_tiles(tile_ids)

    def _refuse_sealed(self, tile_ids: Sequence[TileId]) -> None:
        """Refuse the tiles that a base in front of the store holds, before any of them is changed."""
        if not self.config.base.layered:
            return
        for tile_id in tile_ids:
            if self.sealed_store.tile_exists(tile_id):
                raise SealedTileError(tile_id)

    @cached_property
    def sealed_store(self) -> SealedTileStore:
        """The sealed base alone, without a database. Raises `BaseUnavailableError`."""
        return self._sealed_store(partial(judge_stored, self.base_gate, self.base_clock_guard))

    @cached_property
    def base_gate(self) -> FreshnessGate:
        """The gate over the sectors and rules of the base alone. Raises `BaseUnavailableError`."""
        return self._gate_over([self.base_grounds])

    @cached_property
    def base_clock_guard(self) -> ClockGuard:
        """The clock, guarded by what the base proves."""
        clock = ClockGuard(self.clock, self._times_of_base, self.recorder)
        clock.look()
        return clock

    def _sealed_store(
        self,
        judge: Callable[[TileId, int], FreshnessVerdict],
        otherwise: Callable[[TileId], TilePixelHandle] | None = None,
    ) -> SealedTileStore:
        from ..reader_threads import ReaderThreads
        from ..sealed_base.store import SealedTileStore

        base, settings, reads = self.mapped_base, self.config.base, self.config.reads
        if settings.memory is not BaseMemory.TOUCHED:
            base.bring_into_memory(lock=settings.memory is BaseMemory.LOCKED)
        store = SealedTileStore(
            base,
            judge=judge,
            verify_reads=settings.verify is BaseVerify.READ,
            when_damaged=lambda tile_id, expected, found: self.recorder.record(
                base_tile_damaged_event(tile_id, expected, found)
            ),
            otherwise=otherwise,
            recalls=self.part("recalls"),
            read_deadline_s=reads.deadline_s or None,
            threads=ReaderThreads(reads.waiting_threads),
        )
        return self._closing(store, store.close)

    @cached_property
    def base_generations(self) -> BaseGenerations:
        """The generations of the base, for tools."""
        from ..sealed_base.generations import BaseGenerations

        return BaseGenerations(self.config.base_folder)

    @cached_property
    def base_trust(self) -> Trust:
        """The public keys that count and their threshold: of the list of keys in force, or the pinned ones.

        Raises `BaseUnavailableError` for a list in force that can't be used.
        """
        return self.key_lists.trust()

    @cached_property
    def key_lists(self) -> KeyLists:
        """The lists of keys that were applied here."""
        from ..sealed_base.key_lists import KeyLists
        from ..signatures import Trust

        pinned = Trust(self.config.base.public_keys, self.config.base.threshold)
        return KeyLists(self.config.base_folder / "keys", pinned, self.config.recall.public_keys)

    def recall_number(self) -> int:
        """The number of the recall list in force; 0 without one. Raises `RecallListError`."""
        in_force = self.recall_lists.read()
        return 0 if in_force is None else in_force.recalls.number
