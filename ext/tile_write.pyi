"""The hash-gated, durable, atomic write of a tile and its sidecar, alone or as part of a batch."""

from collections.abc import Sequence
from typing import TypeAlias, final

from .awaited_insert import AwaitedInsert
from .pixel_hashes import HashedPixels

Target: TypeAlias = tuple[str, str, str, str, str, bytes]
"""Folder, tile's name, its temporary name, sidecar's name, its temporary name, the sidecar's line."""

class GateRefusedError(ValueError):
    """The bytes are not what was promised."""

    what: str
    expected: str | int
    actual: str | int | tuple[int, int, int, int]
    def __init__(
        self, what: str, expected: str | int, actual: str | int | tuple[int, int, int, int]
    ) -> None: ...

def sync_file_system(descriptor: int) -> None:
    """Make everything written to the descriptor's file system durable. Raises `OSError`."""

def write_temporaries(
    root: int, writes: Sequence[GatedWrite], targets: Sequence[Target]
) -> list[OSError | None]:
    """The first half of `place` for a batch, without any sync; entry i is why write i failed, or None."""

def rename_all(root: int, writes: Sequence[GatedWrite]) -> list[OSError | None]:
    """The second half of `place` for a batch, without any sync; entry i is why write i failed, or None."""

def add_sidecars(root: int, writes: Sequence[GatedWrite], *, unnamed: bool) -> list[OSError | None]:
    """The last step of `place` for a batch with durable tiles; entry i is why write i failed, or None.

    `unnamed` says that files without a name get one safely on this file system.
    """

@final
class GatedWrite:
    """One tile's bytes, admitted by the hash gate, on their way to the disk."""

    def __init__(
        self, pixels: bytes | HashedPixels, content_sha256: str, disk_bytes: int, tile_size_pixels: int
    ) -> None: ...
    def prewrite(
        self,
        root: int,
        target: Target,
        device: int,
        name_syncing_device: int = 0,
        awaited: AwaitedInsert | None = None,
        wait_ms: int = 0,
    ) -> None: ...
    def place(self, root: int, target: Target, name_syncing_device: int = 0) -> None: ...
    def place_alone(self, root: int, target: Target, name_syncing_device: int = 0) -> None: ...
    @property
    def has_temporaries(self) -> bool: ...
    @property
    def device(self) -> int: ...
    def withdraw(self, root: int) -> None: ...
