"""`tiles.meta.json`: the metadata of the index beside it, as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from ...domain.values.descriptors import DescriptorMetric, HnswParams, IndexMetadata, VectorStorage
from ...domain.values.tile_key import VariantTable

FORMAT = 1


def encode_metadata(metadata: IndexMetadata) -> bytes:
    """The file's bytes. `variants` lists the flights whose ordinals follow the two fixed ones."""
    params = metadata.params
    facts = {
        "format": FORMAT,
        "dimension": metadata.dimension,
        "count": metadata.count,
        "metric": params.metric.value,
        "params": {"m": params.m, "ef_construction": params.ef_construction, "ef_search": params.ef_search},
        "storage": metadata.storage.value,
        "descriptor_model": metadata.descriptor_model,
        "faiss_version": metadata.faiss_version,
        "sha256": metadata.sha256,
        "built_at": metadata.built_at.isoformat(),
        "rows_sha256": metadata.rows_sha256,
        "variants": [str(flight) for flight in metadata.variants.flights],
    }
    return json.dumps(facts, indent=2).encode("ascii") + b"\n"


def decode_metadata(content: bytes) -> IndexMetadata:
    """Read the file's bytes. Raises `ValueError`, `KeyError` or `TypeError` for other content."""
    facts = json.loads(content)
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, this program reads {FORMAT}")
    params = facts["params"]
    return IndexMetadata(
        dimension=facts["dimension"],
        count=facts["count"],
        params=HnswParams(
            m=params["m"],
            ef_construction=params["ef_construction"],
            ef_search=params["ef_search"],
            metric=DescriptorMetric(facts["metric"]),
        ),
        storage=VectorStorage(facts["storage"]),
        descriptor_model=str(facts["descriptor_model"]),
        faiss_version=str(facts["faiss_version"]),
        sha256=str(facts["sha256"]),
        built_at=datetime.fromisoformat(facts["built_at"]),
        rows_sha256=facts.get("rows_sha256"),  # indexes of before have no place-ordered part
        variants=VariantTable(tuple(UUID(flight) for flight in facts["variants"])),
    )
