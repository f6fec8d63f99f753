"""The demo's post-flight: upload the aircraft's own tiles over a bad link, until none is pending."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.values.counted import counted
from ...domain.values.tiles import TileId
from ...domain.values.upload_reports import UploadListEntry, UploadRequest, UploadState
from ..composition import Runtime
from ..config.secret import Secret
from ..config.settings import AerotileConfig, UploadConfig
from ..provider.behaviour import Behaviour, Fault, FaultKind
from ..provider.link import BadLink, Breakage, Direction, LinkConditions
from ..provider.server import ReferenceProvider
from .base import ProgressBar

_MAX_RUNS = 20
_BATCH_TILES = 6
_ATTEMPTS = 3
_BAD_LINK = LinkConditions(breakage=Breakage.RESET, break_after_bytes=2500, break_in=Direction.TO_CLIENT)
"""Every connection is reset in the middle of its second or third answer, after the tiles were stored."""
_BUSY = Fault(kind=FaultKind.STATUS, status=503, every=4, retry_after_s=0)


@attrs.frozen(kw_only=True)
class Landing:
    """The result of the upload, by the provider's folder and by our ledger."""

    runs: int
    """Calls until nothing was pending."""
    requests: int
    connections: int
    uploaded: int
    given_up: tuple[UploadListEntry, ...]
    held_by_provider: int
    """Tiles in the provider's folder whose hash is ours."""


def land(
    config: AerotileConfig,
    *,
    folder: Path,
    never_taken: TileId,
    bar: ProgressBar,
    say: Callable[[str], None],
) -> Landing:
    """Upload every pending tile of `config`'s store to a reference provider in `folder`.

    `never_taken` is a tile that the provider always rejects. Raises `StoreUnavailableError` when tiles are
    still pending after 20 runs, or when ledger and provider disagree.
    """
    token = Secret(secrets.token_urlsafe())
    behaviour = Behaviour(faults=(_BUSY,), refused={never_taken.tile_uuid: "clouds over the whole tile"})
    with ReferenceProvider(folder, token, behaviour=behaviour) as provider:
        with BadLink("127.0.0.1", provider.port, _BAD_LINK) as link:
            upload = UploadConfig(
                url=f"http://127.0.0.1:{link.port}",
                token=token,
                max_batch_tiles=_BATCH_TILES,
                max_per_tile_attempts=_ATTEMPTS,
                backoff_base_s=1.0,
                backoff_cap_s=0.1,
            )
            say("\n7. Landed: uploading over a link that breaks, to a provider that is busy at times.\n")
            with Runtime(attrs.evolve(config, upload=upload)) as runtime, bar("Uploading") as advance:
                runs = _upload_everything(runtime, advance)
                entries = list(runtime.upload_ledger.entries())
            connections = link.connections
        held = provider.tiles.hashes()
        requests = provider.requests()
    uploaded = [entry.tile for entry in entries if entry.state is UploadState.UPLOADED]
    if {tile.tile_uuid: tile.content_sha256 for tile in uploaded} != held:
        raise StoreUnavailableError("the provider's folder does not hold what the ledger says it does")
    return Landing(
        runs=runs,
        requests=requests,
        connections=connections,
        uploaded=len(uploaded),
        given_up=tuple(entry for entry in entries if entry.state is UploadState.GIVEN_UP),
        held_by_provider=len(held),
    )


def _upload_everything(runtime: Runtime, advance: Callable[[int, int], None]) -> int:
    total, _ = runtime.upload_ledger.pending_total()
    uploader = runtime.tile_uploader()
    for run in range(1, _MAX_RUNS + 1):
        uploader.upload_pending_tiles(UploadRequest())
        left, _ = runtime.upload_ledger.pending_total()
        advance(total - left, total)
        if left == 0:
            return run
    raise StoreUnavailableError(
        f"{counted(left, 'tile is', 'tiles are')} still pending after {_MAX_RUNS} runs"
    )
