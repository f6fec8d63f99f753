"""Bringing tiles into the store: the gates of one tile, the run over many, the report."""
