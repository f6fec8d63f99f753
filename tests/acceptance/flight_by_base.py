"""A flight by a sealed base alone, in a process of its own: python flight_by_base.py ROOT QUERY"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import aerotile

root, query = Path(sys.argv[1]).absolute(), np.load(sys.argv[2])
config = aerotile.AerotileConfig(
    root=root,
    database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
    base=aerotile.BaseConfig(require_signature=False),
    record=aerotile.RecordConfig(lookups=aerotile.RecordLookups.FULL),
)
base = aerotile.build_sealed_base(config)
index: Any = aerotile.build_descriptor_index(config)
candidates = aerotile.find_tiles(query, 3, index=index, store=base)
best = candidates[0]
verdict = base.verdict(best.tile_id)
near = aerotile.Area.around(*best.tile_id.centre, radius_m=1.0)
sys.stdout.write(
    json.dumps(
        {
            "found": [str(candidate.tile_id) for candidate in candidates],
            "within": [str(hit.tile_id) for hit in index.search_within(query, 1, near)],
            "model": index.metadata().descriptor_model,
            "classification": verdict.rule.classification.value if verdict else None,
            "pixels": bytes(memoryview(best.pixels)).hex(),
        }
    )
)
aerotile.close_runtimes()
