"""Files that survive a crash, for every adapter: written whole, in durable folders, behind locks."""
