"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .gated_write import GatedWrite
from .pixels import MappedPixels

__all__ = ["GatedWrite", "MappedPixels"]
