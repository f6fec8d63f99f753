"""`aerotile index build|info|generations|rollback`: the group, and the facts that its commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ....domain.values.counted import counted
from ..command import LazyGroup
from ..errors import JobFailedError
from ..output import write_facts, write_json

if TYPE_CHECKING:
    from ....domain.policies.index_agreement import ChangedTiles, IndexAgreement
    from ....domain.values.descriptors import IndexMetadata
    from ....domain.values.tiles import TileId

_DESCRIBE_ANEW = "describe the tiles anew and build the index from that (aerotile describe, index build)"
COMMANDS = {
    "build": ("index_build", "Build a new generation from descriptors."),
    "info": ("index_info", "Show the generation in use."),
    "generations": ("index_generations", "List the generations on the disk."),
    "rollback": ("index_rollback", "Go back to an older generation."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def index() -> None:
    """Build, inspect and switch the descriptor index."""


def index_facts(generation: str | None, metadata: IndexMetadata) -> dict[str, Any]:
    """The facts of a generation, as JSON shows them."""
    return {
        "generation": generation,
        "count": metadata.count,
        "dimension": metadata.dimension,
        "descriptor_model": metadata.descriptor_model,
        "metric": metadata.metric.value,
        "kind": metadata.kind.value,
        "storage": metadata.storage.value,
        "m": metadata.params.m,
        "ef_construction": metadata.params.ef_construction,
        "ef_search": metadata.params.ef_search,
        "built_at": metadata.built_at.isoformat(),
        "sha256": metadata.sha256,
        "faiss_version": metadata.faiss_version,
        "flights": len(metadata.variants.flights),
        "searches_areas": metadata.rows_sha256 is not None,
    }


def agreement_facts(agreement: IndexAgreement) -> dict[str, Any]:
    """How many of an index's tiles are stored, as JSON shows it."""
    return {
        "indexed_tiles": agreement.indexed_tiles,
        "unknown_tiles": agreement.unknown_tiles,
        "unknown_listed": [str(tile_id) for tile_id in agreement.listed],
        "undescribed_tiles": agreement.undescribed_tiles,
        "undescribed_listed": [str(tile_id) for tile_id in agreement.undescribed_listed],
    }


def agreement_line(agreement: IndexAgreement) -> str:
    """The same for a person: the tiles that the store lacks."""
    unknown = _named(agreement.listed, agreement.unknown_tiles)
    return (
        f"{agreement.unknown_tiles} of {agreement.indexed_tiles} indexed tiles are not in the store{unknown}"
    )


def undescribed_line(agreement: IndexAgreement) -> str:
    """The same for a person: the tiles that the index lacks."""
    return (
        f"{agreement.undescribed_tiles} stored tiles have no descriptor, and no search finds them"
        f"{_named(agreement.undescribed_listed, agreement.undescribed_tiles)}"
    )


def _named(listed: Sequence[TileId], count: int) -> str:
    """The tiles listed, after a colon; nothing for none."""
    more = " ..." if count > len(listed) else ""
    return f": {', '.join(map(str, listed))}{more}" if listed else ""


def contents_facts(changed: ChangedTiles | None) -> dict[str, Any]:
    """The tiles whose descriptors were made from other bytes than are there now, as JSON shows them.

    None: the index does not say from which bytes they were made.
    """
    return {
        "contents_compared": changed is not None,
        "changed_tiles": None if changed is None else changed.tiles,
        "changed_listed": [] if changed is None else [str(tile_id) for tile_id in changed.listed],
    }


def contents_line(changed: ChangedTiles | None) -> str:
    """The same for a person."""
    if changed is None:
        return (
            "whether tiles were replaced since they were described can't be compared: the index does not say "
            f"from which bytes it was made; {_DESCRIBE_ANEW}"
        )
    said = f"{counted(changed.tiles, 'tile was', 'tiles were')} replaced since described"
    return f"{said}{_named(changed.listed, changed.tiles)}; {_DESCRIBE_ANEW}" if changed.tiles else said


def changed_since_described(changed: ChangedTiles, who: str) -> JobFailedError:
    """The failure of descriptors that were made from other bytes than the store holds."""
    return JobFailedError(
        f"{who} describes other bytes than the store holds of {counted(changed.tiles, 'tile')}"
        f"{_named(changed.listed, changed.tiles)}",
        remedy="describe the tiles anew (aerotile describe): these were replaced since",
    )


def nothing_known(agreement: IndexAgreement) -> JobFailedError:
    """The failure of an index and a store that have no tile in common."""
    return JobFailedError(
        f"none of the {agreement.indexed_tiles} indexed tiles is in the store, for instance "
        f"{agreement.listed[0]}: every lookup would come back empty",
        remedy="ingest the tiles with the source that the descriptors name, or describe the stored tiles",
    )


def print_generation(
    generation: str | None,
    metadata: IndexMetadata,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the facts of a generation, and `more` of them, as JSON or one a line."""
    facts = index_facts(generation, metadata) | dict(more or {})
    if as_json:
        write_json(facts)
    else:
        write_facts(facts)
