"""The names of the files of a descriptor index, in a generation of its own and in one of the sealed base."""

from __future__ import annotations

INDEX_FILE = "tiles.index"
"""The graph."""
DESCRIPTORS_FILE = "tiles.descriptors"
"""The place-ordered descriptors."""
ROWS_FILE = "tiles.rows"
"""The tile key of each of them, and the digest of each block."""
METADATA_FILE = "tiles.meta.json"
"""The metadata, which holds the digests of graph and rows."""
INDEX_FILES = (INDEX_FILE, DESCRIPTORS_FILE, ROWS_FILE, METADATA_FILE)
CONTENTS_FILE = "tiles.contents"
"""From which bytes each descriptor was made; not in a base, whose seal compares them with its tiles."""
