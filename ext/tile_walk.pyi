"""The walk over one variant's folders."""

from ..domain.catalogue import Keys

def walk_variant(folder: int) -> tuple[Keys, Keys, list[str]]:
    """Places of tiles, places of sidecars, and paths of possible temporaries. Raises `OSError`."""
