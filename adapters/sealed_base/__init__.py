"""The sealed base: one generation of tiles in one signed, mapped archive. docs/base.md has the layout."""
