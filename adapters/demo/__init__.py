"""The demonstration's own parts: real imagery, a camera over it, a descriptor, a mission, a picture.

Importing anything here raises `RuntimeNotAvailableError` where the `demo` extra is not installed.
"""

from __future__ import annotations

from ...domain.errors import RuntimeNotAvailableError

try:
    import PIL  # noqa: F401 - only asks whether it is there, once for every module of this folder
except ImportError as error:
    raise RuntimeNotAvailableError(
        "the demo needs Pillow, which is not installed", remedy="pip install aerotile[demo]"
    ) from error
