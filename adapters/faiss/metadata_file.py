"""`tiles.meta.json`: the metadata of the index beside it, as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from ...domain.values.descriptors import DescriptorMetric, HnswParams, IndexKind, IndexMetadata, VectorStorage
from ...domain.values.tile_key import VariantTable
from ..files.file_digests import FileDigests
from ..strict_json import parse_json

FORMAT = 1


def encode_metadata(metadata: IndexMetadata, digests: FileDigests) -> bytes:
    """The file's bytes. `variants` lists the flights whose ordinals follow the two fixed ones.

    `digests` are those of the index; a file of one part needs no digest but its own.
    """
    params = metadata.params
    facts: dict[str, object] = {
        "format": FORMAT,
        "dimension": metadata.dimension,
        "count": metadata.count,
        "metric": params.metric.value,
        "params": {"m": params.m, "ef_construction": params.ef_construction, "ef_search": params.ef_search},
        "kind": metadata.kind.value,
        "storage": metadata.storage.value,
        "descriptor_model": metadata.descriptor_model,
        "faiss_version": metadata.faiss_version,
        "sha256": metadata.sha256,
        "built_at": metadata.built_at.isoformat(),
        "rows_sha256": metadata.rows_sha256,
        "variants": [str(flight) for flight in metadata.variants.flights],
    }
    if metadata.contents_sha256 is not None:
        facts["contents_sha256"] = metadata.contents_sha256
    if metadata.describes_base:
        facts["describes_base"] = True
    if len(digests.parts) > 1:
        facts |= {"part_bytes": digests.part_bytes, "part_sha256": list(digests.parts)}
    return json.dumps(facts, indent=2).encode("ascii") + b"\n"


def decode_metadata(content: bytes) -> tuple[IndexMetadata, FileDigests]:
    """The metadata and the digests of the index. Raises `ValueError`, `KeyError` or `TypeError`."""
    facts = parse_json(content.decode("utf-8"))
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, this program reads {FORMAT}")
    params = facts["params"]
    metadata = IndexMetadata(
        dimension=facts["dimension"],
        count=facts["count"],
        params=HnswParams(
            m=params["m"],
            ef_construction=params["ef_construction"],
            ef_search=params["ef_search"],
            metric=DescriptorMetric(facts["metric"]),
        ),
        kind=IndexKind(facts.get("kind", "hnsw")),  # indexes of before have no other
        storage=VectorStorage(facts["storage"]),
        descriptor_model=str(facts["descriptor_model"]),
        faiss_version=str(facts["faiss_version"]),
        sha256=str(facts["sha256"]),
        built_at=datetime.fromisoformat(facts["built_at"]),
        rows_sha256=facts.get("rows_sha256"),  # indexes of before have no place-ordered part
        contents_sha256=facts.get("contents_sha256"),
        describes_base=facts.get("describes_base", False),
        variants=VariantTable(tuple(UUID(flight) for flight in facts["variants"])),
    )
    if "part_sha256" not in facts:
        return metadata, FileDigests.of_one_part(metadata.sha256)
    part_bytes = facts["part_bytes"]
    if not isinstance(part_bytes, int) or part_bytes < 1:
        raise ValueError(f"part_bytes is {part_bytes!r}")
    return metadata, FileDigests(tuple(map(str, facts["part_sha256"])), part_bytes, metadata.sha256)
