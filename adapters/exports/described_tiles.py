"""`DescribedTilesFile`: descriptors in one `.npz`, collected in a folder of blocks beside it.

d.npz.partial/job.json        what is described, with which network; a run of another job is refused
d.npz.partial/00000007.npz    a block that is finished
d.npz.partial/00000008.again  a block with tiles that were left out: the next run describes it anew
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import DescribedTilesError
from ...domain.ports.described_tiles import DescribedBlock, DescribingJob
from ..files.atomic_file import atomic_file
from ..files.file_lock import FileLock
from ..files.regular_file import read_regular

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
_JOB, _LOCK = "job.json", "lock"
_WHOLE, _AGAIN = ".npz", ".again"
_MAX_JOB_BYTES = 1 << 16
_MAX_BLOCK_BYTES = 1 << 30
_DIGEST = np.dtype("<U64")

_BlockArrays: TypeAlias = tuple[npt.NDArray[np.str_], npt.NDArray[np.float32], npt.NDArray[np.str_]]
"""The names of a block's tiles, their rows, and the digest of each tile."""


class DescribedTilesFile:
    """See `DescribedTilesWriter`. The file holds `tiles`, `descriptors`, `sha256`, `model` and its digest."""

    def __init__(self, path: Path, job: DescribingJob) -> None:
        """Go on with what an equal job left beside `path`, or begin.

        Raises `DescribedTilesError`, `OSError`.
        """
        if path.exists() or path.is_symlink():
            raise DescribedTilesError(
                f"{path} is there, and nothing is replaced", remedy="name another, or remove it"
            )
        self._path, self._job = path, job
        self._folder = path.with_name(f"{path.name}.partial")
        self._folder.mkdir(_FOLDER_MODE, exist_ok=True)
        self._lock = FileLock(self._folder / _LOCK, create_mode=_FILE_MODE)
        if not self._lock.try_acquire():
            raise DescribedTilesError(
                f"another run describes into {self._folder}", remedy="wait for it, or name another file"
            )
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def _begin(self) -> None:
        facts = json.loads(json.dumps(attrs.asdict(self._job)))
        place = self._folder / _JOB
        if place.exists():
            before = self._read_job(place)
            other = [key for key in facts if before.get(key) != facts[key]]
            if other:
                raise DescribedTilesError(
                    f"{self._folder} holds blocks of another job (it differs in {', '.join(other)})",
                    remedy="remove the folder to begin anew, or name another file",
                )
            return
        for name in self._blocks():
            name.unlink()
        with atomic_file(place, _FILE_MODE) as file:
            file.write(json.dumps(facts, indent=2).encode("ascii") + b"\n")

    def _read_job(self, place: Path) -> dict[str, Any]:
        try:
            found = json.loads(read_regular(place, _MAX_JOB_BYTES))
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
        raise DescribedTilesError(f"{place} is damaged", remedy="remove the folder to begin anew")

    def _blocks(self) -> list[Path]:
        return sorted(each for each in self._folder.iterdir() if each.suffix in (_WHOLE, _AGAIN))

    def finished_blocks(self) -> frozenset[int]:
        for place in self._blocks():
            if place.suffix == _AGAIN:
                place.unlink()
        return frozenset(int(place.stem) for place in self._blocks() if place.stem.isdecimal())

    def add(self, number: int, block: DescribedBlock) -> None:
        content = io.BytesIO()
        np.savez(
            content,
            tiles=np.array([str(each) for each in block.tile_ids], str),
            descriptors=block.descriptors,
            sha256=np.array(block.content_sha256, _DIGEST),
        )
        ending = _AGAIN if block.refused else _WHOLE
        with atomic_file(self._folder / f"{number:08d}{ending}", _FILE_MODE) as file:
            file.write(content.getbuffer())

    def finish(self) -> tuple[int, int]:
        headings = len(self._job.headings)
        tiles = letters = dimension = 0
        for names, rows, _ in self._read_blocks():
            if len(rows) != len(names) * headings or (
                len(rows) and rows.shape[1] != (dimension or rows.shape[1])
            ):
                raise DescribedTilesError(
                    f"the blocks in {self._folder} don't belong together",
                    remedy="remove the folder to begin anew",
                )
            if len(rows):
                tiles += len(names)
                letters, dimension = max(letters, names.dtype.itemsize // 4), rows.shape[1]
        if not tiles:
            raise DescribedTilesError("no tile could be described", remedy="see what was left out, and why")
        count = tiles * headings
        text = np.dtype(f"<U{letters}")
        model, digest = np.array(self._job.model), np.array(self._job.model_sha256)
        with atomic_file(self._path, _FILE_MODE, is_new=True) as file, zipfile.ZipFile(file, "w") as archive:
            _write_array(
                archive,
                "tiles",
                (count,),
                text,
                (np.repeat(names.astype(text), headings) for names, _, _ in self._read_blocks()),
            )
            _write_array(
                archive,
                "descriptors",
                (count, dimension),
                np.dtype("<f4"),
                (rows.astype("<f4") for _, rows, _ in self._read_blocks()),
            )
            _write_array(
                archive,
                "sha256",
                (count,),
                _DIGEST,
                (np.repeat(digests, headings) for _, _, digests in self._read_blocks()),
            )
            _write_array(archive, "model", (), model.dtype, [model])
            _write_array(archive, "model_sha256", (), digest.dtype, [digest])
        shutil.rmtree(self._folder)
        self._lock.release()
        return count, dimension

    def _read_blocks(self) -> Iterator[_BlockArrays]:
        for place in self._blocks():
            with _block_named(place):
                with np.load(io.BytesIO(read_regular(place, _MAX_BLOCK_BYTES))) as arrays:
                    names, rows, digests = arrays["tiles"], arrays["descriptors"], arrays["sha256"]
                if names.dtype.kind != "U" or names.ndim != 1 or rows.dtype != np.float32 or rows.ndim != 2:
                    raise ValueError("its arrays are not those of a block")
                if digests.dtype != _DIGEST or digests.shape != names.shape:
                    raise ValueError("its digests are not those of its tiles")
            yield names, rows, digests

    def __enter__(self) -> DescribedTilesFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


@contextmanager
def _block_named(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise DescribedTilesError(
            f"{place} is damaged: {error}", remedy="remove it; the next run describes its tiles anew"
        ) from error


def _write_array(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    kind: np.dtype[Any],
    parts: Iterable[npt.NDArray[Any]],
) -> None:
    """One array of the `.npz`, part by part.

    Its time is the one that zip begins with: the same rows give the same bytes.
    """
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        )
        for part in parts:
            member.write(np.ascontiguousarray(part).tobytes())
