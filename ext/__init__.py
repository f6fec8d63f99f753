"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .gated_write import GatedWrite, GateRefusedError, rename_all, sync_file_system, write_temporaries
from .pixels import MappedPixels, open_beneath

__all__ = [
    "GateRefusedError",
    "GatedWrite",
    "MappedPixels",
    "open_beneath",
    "rename_all",
    "sync_file_system",
    "write_temporaries",
]
