"""Writing an index generation whose hashes agree, whatever its bytes are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aerotile.adapters.faiss.mapped_index import sidecar_content


def seal(folder: Path, content: bytes, facts: dict[str, Any]) -> None:
    """Write the generation with hashes that agree."""
    metadata = json.dumps(facts | {"sha256": hashlib.sha256(content).hexdigest()}).encode()
    hashes = {
        "tiles.index": hashlib.sha256(content).hexdigest(),
        "tiles.meta.json": hashlib.sha256(metadata).hexdigest(),
    }
    files = {
        "tiles.index": content,
        "tiles.meta.json": metadata,
        "tiles.index.sha256": sidecar_content(hashes),
    }
    for name, written in files.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(written)
