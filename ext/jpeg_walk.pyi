"""The walk over a JPEG's markers, for Python."""

def walk_jpeg(pixels: bytes) -> tuple[int, int, int, int]:
    """(fault, position, width, height), as `domain.policies.jpeg.walk_jpeg` has them; without the GIL."""
