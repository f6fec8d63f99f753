"""Bringing the aircraft's own tiles to the satellite provider, and its votes back."""
