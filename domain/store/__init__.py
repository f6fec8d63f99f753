"""The tile store over rows and files: writing, reading, opening, checking."""
