"""A signal's handler that raises while threads work on a batch: its error is the one that is raised."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from small_store import tile

from aerotile.adapters.filesystem import placement
from aerotile.adapters.filesystem.staged_file import StagedFile
from aerotile.adapters.filesystem.tile_files import FilesystemTileFiles
from aerotile.ext import AwaitedInsert, GatedWrite


class AlarmError(Exception):
    """What the signal's handler raises."""


def hold(write: GatedWrite, file: StagedFile, root: int, ours: socket.socket) -> threading.Thread:
    """A thread in the middle of a write, until something arrives at `ours`."""
    held = threading.Thread(
        target=write.prewrite,
        args=(root, file.target(), os.fstat(root).st_dev, 0, AwaitedInsert(ours.fileno()), 600_000),
    )
    held.start()
    return held


def is_busy(write: GatedWrite, root: int) -> bool:
    try:
        write.withdraw(root)
    except RuntimeError:
        return True
    return False


def test_an_interrupted_batch_raises_that_while_a_thread_is_in_the_middle_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*given: object) -> None:
        raise AlarmError

    root = os.open(tmp_path, os.O_RDONLY)
    ours, theirs = socket.socketpair()
    with FilesystemTileFiles(tmp_path) as files, ours, theirs:
        file = files.stage(*tile(1, 1))
        assert isinstance(file, StagedFile)
        held = hold(file.write, file, root, ours)
        while not is_busy(file.write, root) and held.is_alive():
            pass
        monkeypatch.setattr(placement, "write_temporaries", interrupt)
        with pytest.raises(AlarmError):
            files.place_many([file])
        theirs.sendall(b"x")
        held.join()
    os.close(root)
