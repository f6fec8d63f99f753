"""The archive format PMTiles, version 3: what the sealed base and the intake both read and write."""
