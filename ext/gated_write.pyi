"""The hash-gated, durable, atomic write of a tile and its sidecar."""

from typing import TypeAlias, final

Target: TypeAlias = tuple[str, str, str, str, str, bytes]
"""Folder, tile's name, its temporary name, sidecar's name, its temporary name, the sidecar's line."""

class GateRefusedError(ValueError):
    """The bytes are not what was promised."""

    what: str
    expected: str | int
    actual: str | int
    def __init__(self, what: str, expected: str | int, actual: str | int) -> None: ...

def sync_file_system(descriptor: int) -> None:
    """Make everything written to the descriptor's file system durable. Raises `OSError`."""

@final
class GatedWrite:
    """One tile's bytes, admitted by the hash gate, on their way to the disk."""

    def __init__(self, pixels: bytes, content_sha256: str, disk_bytes: int) -> None: ...
    def place(self, root: int, target: Target) -> None: ...
    def write_temporaries(self, root: int, target: Target) -> None: ...
    def rename(self, root: int) -> None: ...
    def withdraw(self, root: int) -> None: ...
