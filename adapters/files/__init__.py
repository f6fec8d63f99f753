"""Files and folders for every adapter: written whole, made durably, locked, opened with care."""
