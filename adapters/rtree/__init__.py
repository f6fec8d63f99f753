"""The sector index over rtree (libspatialindex)."""

from .sector_index import RtreeSectorIndex

__all__ = ["RtreeSectorIndex"]
