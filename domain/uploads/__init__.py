"""Uploading the aircraft's own tiles to the satellite provider, and pulling its votes."""
