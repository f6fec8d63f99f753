"""The C library's heap."""

def trim_heap() -> None:
    """Give memory that was freed back to the system."""
