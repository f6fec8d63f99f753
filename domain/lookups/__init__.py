"""What a lookup leaves behind, and its repetition."""
