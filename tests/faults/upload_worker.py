"""One life of an uploader: opens the store, says `ready`, `batch` after each batch, and how it all ended.

Usage: upload_worker.py ROOT DSN URL TOKEN BATCHES. After so many batches and one more it waits to be killed.
"""

from __future__ import annotations

import signal
import sys
from itertools import count
from pathlib import Path

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, UploadConfig
from aerotile.domain.values.upload_reports import BatchProgress, UploadRequest


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    root, dsn, url, token, batches = sys.argv[1:]
    config = AerotileConfig(
        root=Path(root),
        database=DatabaseConfig(dsn=Secret(dsn)),
        upload=UploadConfig(url=url, token=Secret(token), max_batch_tiles=2, parallel_requests=2),
    )
    with Runtime(config) as runtime:
        uploader = runtime.tile_uploader()
        say("ready")
        numbers = count(1)

        def after_batch(progress: BatchProgress) -> None:
            say("batch")
            if next(numbers) > int(batches):
                signal.pause()

        request = UploadRequest(after_batch=after_batch)
        say(uploader.upload_pending_tiles(request).outcome.value)


if __name__ == "__main__":
    main()
