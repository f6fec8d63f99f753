"""Tiles as files: `{root}/{source}[/{flight_id}]/{zoom}/{x}/{y}.jpg`, each beside its SHA-256."""

from .tile_files import FilesystemTileFiles

__all__ = ["FilesystemTileFiles"]
