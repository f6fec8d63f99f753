"""Go or no-go for a flight, from all parts of a runtime."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...domain.errors import AerotileError, IndexUnavailableError
from ...domain.intake.mosaic import in_ranges
from ...domain.policies.clock_trust import find_clock_fault
from ...domain.policies.index_agreement import ChangedTiles, changed_tiles, compare_index
from ...domain.readiness.check_readiness import check_readiness
from ...domain.readiness.flight_plan import FlightPlan, overflown_tiles
from ...domain.readiness.held_tiles import DAMAGED, NOT_CHECKED, WHOLE, Booleans, HeldTiles, IndexedTiles
from ...domain.readiness.judge_tiles import TileFault
from ...domain.readiness.report import Condition, Readiness
from ...domain.store.clock_guard import latest_known
from ...domain.values.catalogue_entries import EVICTABLE, CatalogueColumns
from ...domain.values.counted import counted
from ...domain.values.disk_usage import footprints
from ...domain.values.tile_key import FIRST_FLIGHT_ORDINAL, MAX_VARIANTS, VariantTable, encode_tile_key
from ...domain.values.tiles import parse_tile_id
from ..index_files import INDEX_FILES

if TYPE_CHECKING:
    from ...domain.lookups.searchable_index import SearchableIndex
    from ..faiss.sealed_index import SealedDescriptorIndex

from .sealing_parts import SealingParts, changed_in_base

ASSUMED_TILE_BYTES = 40_960
"""Of disk, for a tile that the aircraft makes, while no tile is stored whose size could be taken."""
PAST_TAKE_OFF = timedelta(days=1)
"""How far a take-off may lie in the past: a date without a time stands for its begin."""
_DESCRIBE = "aerotile describe FILE.npz --model NETWORK, then aerotile index build FILE.npz"
_DAMAGED_BASE = "aerotile base rollback, or bring the generation again, then aerotile base verify"
_SEAL = "aerotile base seal, aerotile base sign and aerotile base switch"


class ReadinessParts(SealingParts):
    """Everything that a flight needs, looked at on the ground. Reads no tile and changes none."""

    def check_readiness(
        self, plan: FlightPlan, *, base_alone: bool = False, makes_bytes: int | None = None
    ) -> Readiness:
        """Go or no-go for a flight over the tiles that this configuration reads; see `check_readiness`.

        With `base_alone` the sealed base is looked at without a store, and no database is opened.
        `makes_bytes` is the disk that
        the aircraft's own tiles will take; default: a tile of middling size at every place below the route.
        Raises `StoreUnavailableError`, `BaseUnavailableError`, `ConfigurationError`.
        """
        base_alone = base_alone or not self.config.has_store
        with_base = base_alone or self.config.base.layered
        held = [self._held_base()] if with_base else []
        columns, variants = None, VariantTable()
        if not base_alone:
            columns, variants = self._opened_catalogue()
            held.append(self._held_store(columns, variants))
        layers = [layer for layer, _ in held]
        stored = None if columns is None else (columns, variants)
        index, conditions = self._looked_at_index(layers, stored, with_base=with_base)
        if with_base:
            conditions.append(self._base_condition())
        conditions.append(self._clock_condition(layers, with_store=columns is not None))
        conditions.append(self._take_off_condition(plan.take_off))
        if columns is not None:
            conditions.append(self._room_condition(plan, columns, makes_bytes))
        conditions.append(self._record_condition())
        in_force, recalling = self.recall_lists.read(), None
        if in_force is not None:
            recalling = in_force.recalls.number if in_force.recalls.entries else None
            recalled = sum(int((~is_left).sum()) for _, is_left in held)
            told = (
                f"list {in_force.recalls.number} is in force and names "
                f"{counted(recalled, 'tile, which is', 'tiles, which are')} missing"
            )
            conditions.append(Condition("recall", True, told, None))
        gate = self._gate_over([self.base_grounds]) if base_alone else self.freshness_gate
        return check_readiness(
            plan,
            layers=[
                # A recalled tile of the base hides its twin in the store.
                layer.at(is_left) if layer is layers[0] else layer.at(is_left).without(layers[0])
                for layer, is_left in held
            ],
            index=index,
            judge=gate.verdict_on,
            conditions=conditions,
            remedies=_remedies(
                plan, with_base=with_base, with_store=columns is not None, recalling=recalling
            ),
        )

    def _opened_catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """The facts of the store's tiles, ascending by key; the store is opened as a flight opens it."""
        self.part("tile_store")
        columns, variants = self.rows.catalogue()
        return columns.at(np.argsort(columns.keys)), variants

    def _held_store(self, columns: CatalogueColumns, variants: VariantTable) -> tuple[HeldTiles, Booleans]:
        """The store's tiles, and which of them no recall list names."""
        from ...ext import TileKeyCodec
        from ..checked_tiles import read_wholeness

        wholeness = read_wholeness(
            self.config.root, self.rows.store_id(), columns.keys, variants, columns.content_sha256
        )
        decode = TileKeyCodec(variants).decode_many
        held = HeldTiles("store", columns.keys, variants, columns.captured_us, wholeness, decode)
        return held, self._not_recalled(held, columns.content_sha256)

    def _not_recalled(self, held: HeldTiles, content_sha256: npt.NDArray[Any]) -> Booleans:
        in_force = self.recall_lists.read()
        is_left = np.ones(len(held.keys), np.bool_)
        if in_force is not None and in_force.recalls.entries:
            tiles = zip(held.decode(held.keys), held.captured_us.tolist(), content_sha256, strict=True)
            for row, (tile_id, captured_us, sha256) in enumerate(tiles):
                entry = in_force.recalls.entry_for(tile_id, captured_us, sha256.tobytes().hex())
                is_left[row] = entry is None
        return is_left

    def _held_base(self) -> tuple[HeldTiles, Booleans]:
        """The base's tiles, and which of them no recall list names."""
        from ...ext import TileKeyCodec
        from ..sealed_base.checked_base import read_checked_base

        base = self.mapped_base
        facts = base.checked_facts()
        keys, variants = facts["key"].astype(np.int64), base.signed.manifest.variants
        findings = read_checked_base(self.config.root, base.signed.identity)
        if findings is not None:  # damage to the index costs no tile
            findings = [each for each in findings if each.what not in INDEX_FILES]
        wholeness = np.full(len(keys), NOT_CHECKED if findings is None else WHOLE, np.uint8)
        try:
            damaged = [encode_tile_key(parse_tile_id(each.what), variants) for each in findings or ()]
        except (ValueError, KeyError):  # a file: which of its tiles is not known
            wholeness[:] = DAMAGED
        else:
            wholeness[np.isin(keys, np.array(damaged, np.int64))] = DAMAGED
        captured_us = facts["captured_us"].astype(np.int64)
        held = HeldTiles("base", keys, variants, captured_us, wholeness, TileKeyCodec(variants).decode_many)
        return held, self._not_recalled(held, facts["sha256"])

    def _looked_at_index(
        self,
        layers: list[HeldTiles],
        stored: tuple[CatalogueColumns, VariantTable] | None,
        *,
        with_base: bool,
    ) -> tuple[IndexedTiles | None, list[Condition]]:
        """Whether the index can be used, and whether it is one of the tiles that are there now.

        A tile of which other bytes were described is not among those returned.
        """
        try:
            sealed = self.index_of_base if with_base else None
            if sealed is not None:
                self._refuse_damaged_index()
            opened: SearchableIndex = self.descriptor_index if sealed is None else sealed
            metadata = opened.metadata()
            keys, variants = opened.tile_keys()
            changed = self._changed_among(sealed, stored, with_base=with_base)
        except AerotileError as error:
            return None, [Condition("index", False, str(error), error.remedy or _DESCRIBE)]
        where = "" if sealed is None else ", in the base"
        described = f"{counted(metadata.count, 'descriptor')} of {metadata.descriptor_model}{where}"
        agreement = compare_index(keys, variants, *((layer.keys, layer.variants) for layer in layers))
        told = f"{agreement.unknown_tiles} of {agreement.indexed_tiles} indexed tiles are not there"
        remedy: str | None = None
        if agreement.unknown_tiles:
            told += f", for instance {agreement.listed[0]}"
            remedy = f"{_DESCRIBE}: from the tiles that are there"
        agrees = Condition("index and tiles agree", not agreement.unknown_tiles, told, remedy)
        if changed is not None:
            keys = keys[~np.isin(keys, changed.keys)]
        conditions = [Condition("index", True, described), agrees, _contents_condition(changed)]
        return IndexedTiles(keys, variants), conditions

    def _changed_among(
        self,
        sealed: SealedDescriptorIndex | None,
        stored: tuple[CatalogueColumns, VariantTable] | None,
        *,
        with_base: bool,
    ) -> ChangedTiles | None:
        """The tiles of the base, of the store or of both of which other bytes were described.

        None where the index does not say from which. Raises `IndexUnavailableError`.
        """
        if sealed is not None:
            return changed_in_base(sealed)
        contents = self.descriptor_index.contents()
        if contents is None:
            return None
        layers = [self._columns_of_base()] if with_base else []
        return changed_tiles(contents, layers if stored is None else [*layers, stored])

    def _refuse_damaged_index(self) -> None:
        """Raise `IndexUnavailableError` where the last `aerotile base verify` found damage to the index."""
        from ..sealed_base.checked_base import read_checked_base

        for each in read_checked_base(self.config.root, self.mapped_base.signed.identity) or ():
            if each.what in INDEX_FILES:
                raise IndexUnavailableError(
                    f"the index of the base is damaged: {each.detail}", remedy=_DAMAGED_BASE
                )

    def _base_condition(self) -> Condition:
        signed, trust = self.mapped_base.signed, self.base_trust
        name, newest = signed.manifest.name, max(self.base_generations.names(), key=int)
        by = f"generation {name} is signed by {len(signed.signers)} of {len(trust.public_keys)} pinned keys"
        if not signed.is_trusted:
            return Condition(
                "base",
                False,
                f"{by}, {trust.threshold} are needed",
                f"aerotile base sign {name} --key FILE, and pin the public keys in base.public_keys",
            )
        if name != newest:
            return Condition(
                "base",
                False,
                f"generation {name} is in use, {newest} is the newest",
                f"aerotile base switch {newest}, or remove the folder of that generation",
            )
        return Condition("base", True, f"{by} and the newest")

    def _clock_condition(self, layers: list[HeldTiles], *, with_store: bool) -> Condition:
        captures = [int(layer.captured_us.max()) for layer in layers if len(layer.keys)]
        accesses = [self.rows.latest_capture_and_access_us()[1]] if with_store else []
        known = latest_known(max(captures, default=0), max(accesses, default=0))
        now = self.clock.now()
        fault = find_clock_fault(now, known=known)
        if fault is None:
            return Condition("clock", True, now.isoformat(timespec="seconds"))
        return Condition("clock", False, str(fault), "set the clock of this machine: date --set TIME")

    def _take_off_condition(self, take_off: datetime) -> Condition:
        late = self.clock.now() - take_off
        told = take_off.isoformat(timespec="seconds")
        if late <= PAST_TAKE_OFF:
            return Condition("take-off", True, told)
        return Condition(
            "take-off",
            False,
            f"{told} lies {late.days} days in the past, and tiles that are stale by now are fresh by then",
            "give the time of this flight: --at TIME",
        )

    def _room_condition(
        self, plan: FlightPlan, columns: CatalogueColumns, makes_bytes: int | None
    ) -> Condition:
        """Room in the onboard share, in the budget and on the disk; onboard tiles may make it by eviction."""
        of_tiles = footprints(columns.disk_bytes)
        onboard = (columns.keys & (MAX_VARIANTS - 1)) >= FIRST_FLIGHT_ORDINAL
        evictable = int(of_tiles[onboard & (columns.flags & EVICTABLE != 0)].sum())
        usage, budget = self.rows.disk_usage(), self.tiles_budget
        if makes_bytes is None:
            each = int(of_tiles.mean()) if len(of_tiles) else ASSUMED_TILE_BYTES
            makes_bytes = overflown_tiles(plan) * each
        room, where, mends = room_for_onboard(
            of_share=budget.onboard_bytes - usage.onboard_footprint_bytes,
            of_budget=budget.max_bytes - usage.footprint_bytes,
            on_disk=shutil.disk_usage(self.config.root).free,
            evictable=evictable,
        )
        told = (
            f"{room >> 20} MiB {where} are free or may be freed, "
            f"the aircraft makes about {-(-makes_bytes >> 20)} MiB"
        )
        enough = room >= makes_bytes
        return Condition("room", enough, told, None if enough else mends)

    def _record_condition(self) -> Condition:
        from ..recorder.writable import record_fault

        folder = self.config.record_folder
        fault = record_fault(folder)
        if fault is None:
            return Condition("record", True, f"{folder} can be written")
        return Condition("record", False, fault, f"make room, and let this user write to {folder}")


def _contents_condition(changed: ChangedTiles | None) -> Condition:
    """Whether the tiles are those that were described; what nobody knows (None) is said, and no fault."""
    name, remedy = "tiles as described", f"{_DESCRIBE}; where the base holds the index, then {_SEAL}"
    if changed is None:
        told = "not known: the index does not say from which bytes it was made; to know, build it anew"
        return Condition(name, True, told)
    told = f"{counted(changed.tiles, 'indexed tile was', 'indexed tiles were')} replaced since"
    if not changed.tiles:
        return Condition(name, True, told)
    return Condition(name, False, f"{told}, for instance {changed.listed[0]}", remedy)


def room_for_onboard(*, of_share: int, of_budget: int, on_disk: int, evictable: int) -> tuple[int, str, str]:
    """The bytes that onboard tiles may still take, what limits them, and what mends it.

    `of_share` and `of_budget` are negative where the limit is passed: then the tiles that may be evicted make
    up for the share first; for a budget that is passed nothing is evicted, and every write is refused.
    """
    share = (
        of_share,
        "of the onboard share",
        "aerotile upload, so that pending tiles may be evicted, or raise budget.onboard_share",
    )
    budget = (of_budget, "of the budget", "aerotile delete TILE..., or raise budget.max_bytes")
    disk = (on_disk, "on the disk", "make room on the disk")
    room, where, mends = budget if of_budget < 0 else min(share, budget, disk)
    return 0 if of_budget < 0 else max(room + evictable, 0), where, mends


def _remedies(
    plan: FlightPlan, *, with_base: bool, with_store: bool, recalling: int | None
) -> dict[TileFault, str]:
    """What mends each fault: the commands, with the corridor and the zooms of the flight.

    `recalling` is the number of the recall list in force; None where it names nothing.
    """
    missing = f"{_provision(plan)} --missing-only --captured-at DATE"
    newer = f"newer imagery: {_provision(plan)} --replace --captured-at DATE"
    sealed = f"into the store that the base is sealed from, then {_SEAL}"
    of_base = {
        TileFault.MISSING: f"{missing} {sealed}",
        TileFault.DAMAGED: _DAMAGED_BASE,
        TileFault.STALE: f"{newer} {sealed}",
        TileFault.NOT_CHECKED: "aerotile base verify",
    }
    of_store = {
        TileFault.MISSING: f"{missing}, then aerotile verify",
        TileFault.DAMAGED: f"aerotile verify --repair, then {missing}, then aerotile verify",
        TileFault.STALE: f"{newer}, then aerotile verify; "
        "where the date is wrong, aerotile amend --captured-at DATE TILE...",
        TileFault.NOT_CHECKED: "aerotile verify",
    }
    if with_base and with_store:
        remedies = {
            fault: f"in the base: {of_base[fault]}; in the store: {of_store[fault]}" for fault in of_base
        }
        remedies[TileFault.MISSING] = of_store[TileFault.MISSING]
    else:
        remedies = of_base if with_base else of_store
    if recalling is not None:
        remedies[TileFault.MISSING] += _of_recalled(recalling, with_base=with_base, with_store=with_store)
    again = f"; where the base holds the index, then {_SEAL}" if with_base else ""
    return remedies | {TileFault.UNDESCRIBED: f"{_DESCRIBE}{again}"}


def _of_recalled(number: int, *, with_base: bool, with_store: bool) -> str:
    """What mends a place whose tile is missing because a list recalls it, which would refuse it again."""
    steps = ["aerotile delete TILE"] if with_store else []
    steps.append("imagery that the list does not name, by its bytes and date")
    steps += [f"then {_SEAL}"] if with_base else []
    return (
        f"; what recall list {number} names (aerotile recall explain TILE): {', '.join(steps)}; "
        "ground that it names: aerotile recall make, a newer list without that ground"
    )


def _provision(plan: FlightPlan) -> str:
    """The call that brings imagery for the flight; ROUTE and DIVERSION are the files given."""
    ground = "--area ROUTE" + " --area DIVERSION" * len(plan.diversions)
    zooms = in_ranges(plan.zooms).replace(", ", ",")
    return f"aerotile provision SOURCE... {ground} --corridor {plan.half_width_m / 1000:g}km --zoom {zooms}"
