"""Aerotile: the onboard map-tile cache for aircraft that navigate by sight."""
