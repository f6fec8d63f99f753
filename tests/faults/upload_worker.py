"""One life of an uploader: opens the store, says `ready`, `batch` after each batch, and how it all ended.

Usage: upload_worker.py ROOT DSN URL TOKEN
"""

from __future__ import annotations

import sys
from pathlib import Path

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, UploadConfig
from aerotile.domain.values.upload_reports import UploadRequest


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    root, dsn, url, token = sys.argv[1:]
    config = AerotileConfig(
        root=Path(root),
        database=DatabaseConfig(dsn=Secret(dsn)),
        upload=UploadConfig(url=url, token=Secret(token), max_batch_tiles=2, parallel_requests=2),
    )
    with Runtime(config) as runtime:
        uploader = runtime.tile_uploader()
        say("ready")
        request = UploadRequest(after_batch=lambda progress: say("batch"))
        say(uploader.upload_pending_tiles(request).outcome.value)


if __name__ == "__main__":
    main()
