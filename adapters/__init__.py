"""Implementations of the ports. They don't know each other; `composition` and `cli` know them all."""
