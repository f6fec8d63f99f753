"""The walk over one variant's folders."""

from ..domain.values.inventory import Places

def walk_variant(folder: int, part: int = 0, parts: int = 1) -> tuple[Places, Places, list[str]]:
    """Places of tiles, places of sidecars, and paths of possible temporaries. Raises `OSError`."""
