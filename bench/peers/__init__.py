"""Other ways to keep tiles, each with its own best documented settings, over the same tiles."""
