"""What Aerotile knows about a descriptor index, and what a search returns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum

import attrs

from .tile_key import VariantTable
from .tiles import TileId
from .validators import aware_utc, check_kind, check_one_line, is_a, is_whole, plain_numbers

MAX_MODEL_NAME = 500
"""Characters in the name of a network."""


class DescriptorMetric(str, Enum):
    """How two descriptors are compared."""

    L2 = "l2"
    """Squared Euclidean distance; smaller is nearer."""
    INNER_PRODUCT = "inner_product"
    """Inner product; larger is nearer. On descriptors of length 1 it is the cosine."""


def _at_least(low: int) -> Callable[[object, attrs.Attribute[int], int], None]:
    def check(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        if not is_whole(value) or value < low:
            raise ValueError(f"{attribute.name} must be a whole number of {low} or more, got {value!r}")

    return check


@attrs.frozen(field_transformer=plain_numbers)
class HnswParams:
    """Parameters of the HNSW graph (Malkov and Yashunin 2018, the names are theirs).

    The defaults were measured: the least that find 99.5 % of the ten nearest among the demo's 713 real tiles,
    whose descriptors lie far apart, and among a million clustered ones (`bench/index_recall.py`).
    """

    m: int = attrs.field(default=32, validator=_at_least(2))
    """Links per node and layer."""
    ef_construction: int = attrs.field(default=200, validator=_at_least(1))
    """Candidates held while building: larger links better and builds longer."""
    ef_search: int = attrs.field(default=64, validator=_at_least(1))
    """Candidates held while searching: larger finds more and takes longer."""
    metric: DescriptorMetric = attrs.field(default=DescriptorMetric.L2, validator=is_a(DescriptorMetric))
    """How two descriptors are compared."""


class IndexKind(str, Enum):
    """What the graph of an index holds. Descriptors in the order of places lie beside each."""

    HNSW = "hnsw"
    """Each vector as it is stored."""
    HNSW_SQ8 = "hnsw_sq8"
    """A byte for each component: half the memory. The graph names candidates; their distances are those of
    the stored vectors, which are read from the descriptors in the order of places."""

    @property
    def follows_keys(self) -> bool:
        """Whether row i of the graph is row i in the order of places."""
        return self is IndexKind.HNSW_SQ8


class VectorStorage(str, Enum):
    """How the index keeps its vectors."""

    FLOAT16 = "float16"
    """Two bytes a component; the default."""
    FLOAT32 = "float32"
    """Four bytes a component."""


def check_descriptor_model(value: object) -> None:
    """Raise `TypeError` or `ValueError` unless `value` can be the name of a network."""
    check_kind(value, str, "descriptor_model")
    check_one_line(value, "descriptor_model", MAX_MODEL_NAME)


def _model_name(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    check_one_line(value, attribute.name, MAX_MODEL_NAME)


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class IndexMetadata:
    """What `tiles.meta.json` says about the index beside it; checked against the index when it is opened."""

    dimension: int = attrs.field(validator=_at_least(1))
    """Components of a descriptor."""
    count: int = attrs.field(validator=_at_least(0))
    """Descriptors in the index."""
    params: HnswParams = attrs.field(validator=is_a(HnswParams))
    """Of the graph."""
    storage: VectorStorage = attrs.field(validator=is_a(VectorStorage))
    """How the index stores its vectors."""
    descriptor_model: str = attrs.field(validator=_model_name)
    """Name of the network whose descriptors these are; descriptors of another one can't be compared."""
    faiss_version: str = attrs.field(validator=is_a(str))
    """That built it."""
    sha256: str = attrs.field(validator=is_a(str))
    """Of the file `tiles.index`."""
    built_at: datetime = attrs.field(validator=aware_utc)
    """When it was built."""
    variants: VariantTable = attrs.field(validator=is_a(VariantTable))
    """Decodes the tile keys that the index holds as ids."""
    kind: IndexKind = attrs.field(default=IndexKind.HNSW, validator=is_a(IndexKind))
    """What its graph holds."""
    rows_sha256: str | None = attrs.field(default=None, validator=is_a(str, or_none=True))
    """Of `tiles.rows`, which vouches for the place-ordered descriptors; None for an index without them."""
    contents_sha256: str | None = attrs.field(default=None, validator=is_a(str, or_none=True))
    """Of `tiles.contents`, which says from which bytes each descriptor was made; None where nobody told."""
    describes_base: bool = attrs.field(default=False, validator=is_a(bool))
    """Whether the descriptors were made from the very tiles of the base that the index was sealed into."""
    generation: str | None = attrs.field(default=None, validator=is_a(str, or_none=True))
    """The name of its folder; None for an index that has no generations. Not in the file."""

    @property
    def metric(self) -> DescriptorMetric:
        """The metric of `params`."""
        return self.params.metric


@attrs.frozen
class SearchHit:
    """One tile that looks like the query, with its distance in the index's metric."""

    tile_id: TileId
    """Decoded from the index, without a database."""
    distance: float
    """In the metric of the index: for `l2` smaller is nearer, for `inner_product` larger."""
