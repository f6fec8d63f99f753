"""The shared folder of a build: where the file of each step lies, and who works in it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...domain.build_blocks import BlockFile, BlockOutcome, runs_of
from ...domain.errors import BaseSealError
from ...domain.intake.report import Refusal
from ...domain.values.catalogue_entries import Keys
from ..files.durable_folder import make_folder_durably, sync_folder
from ..files.file_lock import FileLock
from .block_file import OpenBlock, open_block

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
_LOCK = ".lock"
_PROGRESS = ".progress.tmp"
STEPS = ("tiles", "descriptors", "shards", "graphs")


def identity_of(facts: Any) -> str:
    """The SHA-256 of facts as JSON; equal facts give equal digests."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def place_of(work: str, step: str, identity: str) -> Path:
    """Where the file of a step lies whose inputs have this identity. Makes its folder. Raises `OSError`."""
    folder = Path(work) / step / identity[:2]
    make_folder_durably(folder, _FOLDER_MODE)
    return folder / identity


def finished(path: Path) -> OpenBlock | None:
    """The file that an earlier run left, every byte of it checked; None where there is none to go on with.

    Raises `OSError`.
    """
    try:
        block = open_block(path).check()
    except (FileNotFoundError, BaseSealError):
        return None
    return None if block.facts["refusals"] else block


def outcome_of(
    path: Path, digest: str, facts: dict[str, Any], keys: Keys, *, taken_over: bool
) -> BlockOutcome:
    """What a step answers for its file."""
    return BlockOutcome(
        file=BlockFile(str(path), digest, len(keys), runs_of(keys)),
        counts=facts["counts"],
        refusals=tuple(Refusal(**each) for each in facts["refusals"]),
        taken_over=taken_over,
    )


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that gets the name `path` when the block ends: whole and durable, or not there.

    Several writers may make the same folder at the same time, of the same files: the first one's stays. The
    block syncs what it writes. Raises `OSError`.
    """
    hidden = path.with_name(f".{uuid4().hex}.tmp")
    hidden.mkdir(_FOLDER_MODE)
    try:
        yield hidden
        sync_folder(hidden)
        try:
            hidden.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def noting_progress(path: Path) -> Iterator[Callable[[int, int], None]]:
    """Gives `progress(done, total)`, which a process that waits for the long step of `path` can read."""
    place = path.with_name(f".{path.name}{_PROGRESS}")

    def progress(done: int, total: int) -> None:
        place.write_text(str(done), encoding="ascii")

    try:
        yield progress
    finally:
        place.unlink(missing_ok=True)


def noted_progress(path: Path) -> int:
    """How far the step of `path` is; 0 where it has not begun, or has ended."""
    try:
        return int(path.with_name(f".{path.name}{_PROGRESS}").read_text(encoding="ascii"))
    except (OSError, ValueError):  # half written
        return 0


@contextmanager
def work_in(folder: Path) -> Iterator[None]:
    """Make the folder, keep other builds out of it, and remove what killed writers left half written.

    Raises `BaseSealError`, `OSError`.
    """
    for step in STEPS:
        make_folder_durably(folder / step, _FOLDER_MODE)
    lock = FileLock(folder / _LOCK, create_mode=_FILE_MODE)
    if not lock.try_acquire():
        raise BaseSealError(
            f"another build works in {folder}", remedy="wait until it has finished, or name another folder"
        )
    try:
        for step in STEPS:
            for remains in (folder / step).glob("*/.*.tmp"):
                if remains.is_dir():
                    shutil.rmtree(remains, ignore_errors=True)
                else:
                    remains.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
