"""An argument of a wrong type is refused by its parameter's name, by everything that the factories return.

test_wrong_arguments.py has the rules, and the functions and values that need no configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from public_api import public_names
from sealed_bases import NOBODY, seal, square
from wrong_arguments import (
    DIMENSION,
    NOW,
    QUERY,
    TILE,
    WRONG,
    Parameter,
    methods_of,
    parameters_of,
    surprises,
    surprises_of,
)

import aerotile
from aerotile import AerotileConfig, BaseConfig, DatabaseConfig, Secret, UploadConfig
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.recorder import JsonLinesRecorder
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.testing import (
    ManualClock,
    MemoryDatasetStore,
    MemoryDescriptorIndex,
    MemoryDescriptorModel,
    MemoryTileFiles,
    MemoryTileMetadataStore,
    MemoryTileRows,
    TileStoreSubject,
)

FACTORIES = {
    "apply_migrations",
    "build_dataset_store",
    "build_descriptor_index",
    "build_descriptor_model",
    "build_flight_recorder",
    "build_health_monitor",
    "build_sealed_base",
    "build_tile_metadata_store",
    "build_tile_store",
    "build_tile_uploader",
}
SEARCHES = {"descriptor": QUERY, "k": 1, "descriptor_model": "net"}
READABLE = (aerotile.SupportsLocalReads, aerotile.ReadableTiles)
"""The ports of a store that is only read."""


@pytest.fixture
def config(migrated_database: str, tmp_path: Path) -> Iterator[AerotileConfig]:
    sealed = seal(tmp_path / "base", square(4))
    BaseGenerations(tmp_path / "base").switch_to(sealed.name, NOBODY, require_signature=False)
    yield AerotileConfig(
        root=tmp_path,
        database=DatabaseConfig(dsn=Secret(migrated_database)),
        base=BaseConfig(layered=True, require_signature=False),
        upload=UploadConfig(url="https://provider.invalid", token=Secret("of-nobody")),
    )
    aerotile.close_runtimes()


def test_what_the_factories_return_names_what_it_refuses(config: AerotileConfig) -> None:
    layered = aerotile.build_tile_store(config)
    assert isinstance(layered, aerotile.LayeredTileStore)
    index = aerotile.build_descriptor_index(config)
    one = np.ones((1, DIMENSION), np.float32)
    index.rebuild([TILE], one, descriptor_model="net", built_at=NOW)
    metadata = aerotile.build_tile_metadata_store(config)
    found = [
        *surprises_of(layered, aerotile.LayeredTileStore),
        *surprises_of(layered.overlay, of_users(aerotile.FileBackedTileStore)),
        *(each for port in READABLE for each in surprises_of(aerotile.build_sealed_base(config), port)),
        *surprises_of(metadata, aerotile.TileMetadataStore),
        *surprises_of(metadata, aerotile.SupportsPins),
        *surprises_of(aerotile.build_dataset_store(config), aerotile.DatasetStore),
        *searches(index, one),
        *surprises_of(aerotile.build_tile_uploader(config), aerotile.TileUploader),
    ]
    assert found == []


def test_an_uploader_without_retries_names_what_it_refuses(config: AerotileConfig) -> None:
    bare = attrs.evolve(config, upload=attrs.evolve(config.upload, disable_retry_decorator=True))
    assert surprises_of(aerotile.build_tile_uploader(bare), aerotile.TileUploader) == []


@pytest.mark.parametrize("verify_hash", [False, True])
def test_a_store_in_memory_names_what_it_refuses(verify_hash: bool) -> None:
    store = TileStoreSubject(MemoryTileRows(), MemoryTileFiles(), True).open(verify_hash=verify_hash)
    assert surprises_of(store, of_users(aerotile.FileBackedTileStore)) == []


def test_metadata_and_index_in_memory_name_what_they_refuse() -> None:
    index, one = MemoryDescriptorIndex(), np.ones((1, DIMENSION), np.float32)
    index.rebuild([TILE], one, descriptor_model="net", built_at=NOW)
    metadata = MemoryTileMetadataStore()
    found = [
        *surprises_of(MemoryDatasetStore(), aerotile.DatasetStore),
        *surprises_of(metadata, aerotile.TileMetadataStore),
        *surprises_of(metadata, aerotile.SupportsPins),
        *surprises_of(MemoryDescriptorModel(), aerotile.DescriptorModel),
        *searches(index, one),
    ]
    assert found == []


def test_the_factories_name_what_they_refuse(config: AerotileConfig, tmp_path: Path) -> None:
    found: list[str] = []
    for name in sorted(FACTORIES):
        factory = public_names()[name]
        (of_config, *others) = parameters_of(factory)
        assert of_config.name == "config"
        found += surprises(name, factory, [of_config, *others], config=config)
    load = aerotile.load_config
    # A text is taken for a path.
    found += [each for each in surprises("load_config", load, parameters_of(load)) if "='x'" not in each]
    assert found == []
    assert aerotile.load_config(root=str(tmp_path), folder=str(tmp_path)).root == tmp_path  # type: ignore[arg-type]


def test_every_function_is_called_with_wrong_arguments() -> None:
    from test_wrong_arguments import OF_THE_DOMAIN

    functions = {name for name, value in public_names().items() if inspect.isfunction(value)}
    assert functions == OF_THE_DOMAIN | FACTORIES | {"close_runtimes", "load_config"}


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_a_recorder_counts_what_is_no_event_and_never_raises(kind: str, tmp_path: Path) -> None:
    memory, files = MemoryFlightRecorder(), JsonLinesRecorder(tmp_path, clock=ManualClock(NOW))
    recorder = memory if kind == "memory" else files
    for wrong in WRONG:
        recorder.record(wrong)  # type: ignore[arg-type]
        recorder.record_fix(wrong)  # type: ignore[arg-type]
    recorder.record(FlightEvent(EventKind.WRITE, "committed", {}))
    files.close()
    dropped = memory.dropped if kind == "memory" else files.status().dropped
    assert dropped == 2 * len(WRONG)


def of_users(store: type) -> type:
    """The class without the methods that Aerotile's own parts call: no port of users has them."""
    inner = ("apply_changes", "judge", "reload")
    return type(store.__name__, (), {n: getattr(store, n) for n in methods_of(store) if n not in inner})


def searches(index: Any, descriptors: Any) -> list[str]:
    """The surprises of an index; a rebuild takes another array than a search."""
    found = [
        *surprises_of(index, aerotile.SupportsAreaSearch, **SEARCHES),
        *surprises_of(index, aerotile.SupportsKeyListing),
    ]
    for name in sorted(set(methods_of(aerotile.DescriptorIndex)) - {"close"}):
        parameters: list[Parameter] = parameters_of(getattr(aerotile.DescriptorIndex, name))
        given = SEARCHES | ({"descriptors": descriptors} if name == "rebuild" else {})
        found += surprises(f"{type(index).__name__}.{name}", getattr(index, name), parameters, **given)
    return found
