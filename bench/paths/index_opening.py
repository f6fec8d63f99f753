"""P-8: opening the descriptor index, as the program comes, until the first answer."""

from __future__ import annotations

import hashlib
import mmap
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from harness.operations import Calls, Operation
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop
from peers import descriptor_graphs as graphs

from aerotile.adapters.faiss import FaissDescriptorIndex

from .built_indexes import BuiltIndex, hnswlib_index, one_thread, searched_index, usearch_f16_index
from .descriptor_sets import NEIGHBOURS


@contextmanager
def _open(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)

    def first_answer(query: Any) -> None:
        index = FaissDescriptorIndex(built.root)
        index.search(query, NEIGHBOURS)
        index.close()

    yield Calls(
        call=first_answer,
        arguments=built.queries().arguments,
        facts=lambda: {"anonymous_mb": _anonymous_mb(built), "file_mb": built.file.stat().st_size / 1e6},
    )


_OPEN_ALONE = """
    import sys
    from pathlib import Path
    import numpy as np
    from aerotile.adapters.faiss import FaissDescriptorIndex

    def anonymous():
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    query = np.ones(int(sys.argv[2]), np.float32)
    before = anonymous()
    index = FaissDescriptorIndex(Path(sys.argv[1]))
    index.search(query, 10)
    print(anonymous() - before)
"""


def _anonymous_mb(built: BuiltIndex) -> float:
    """What an open index adds to a process that has FAISS loaded, in megabytes."""
    dimension = built.wanted.descriptors.shape[1]
    command = [sys.executable, "-c", textwrap.dedent(_OPEN_ALONE), str(built.root), str(dimension)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e6


def sha256_of(path: Path) -> str:
    """By the fastest way in Python: in one piece, of a mapping."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        return hashlib.sha256(mapping).hexdigest()


@contextmanager
def _hash(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    yield Calls(call=lambda: sha256_of(built.file))


def _opening(
    save: Callable[[Workshop], Path],
    load: Callable[[Path, int], graphs.Search],
    *,
    verified: bool,
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Hash the file when asked to, load it, answer once."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        path = save(workshop)
        dimension = built.wanted.descriptors.shape[1]

        def first_answer(query: Any) -> None:
            if verified:
                sha256_of(path)
            load(path, dimension)(query)

        with one_thread():
            yield Calls(call=first_answer, arguments=built.queries().arguments)

    return opened


def _our_file(workshop: Workshop) -> Path:
    return workshop.shared(searched_index).file


def _save_hnswlib(workshop: Workshop) -> Path:
    path = workshop.path("descriptors.hnswlib")
    workshop.shared(hnswlib_index).save_index(str(path))
    return path


def _save_usearch(workshop: Workshop) -> Path:
    path = workshop.path("descriptors.usearch")
    workshop.shared(usearch_f16_index).save(str(path))
    return path


def _load_faiss(path: Path, dimension: int) -> graphs.Search:
    index: Any = faiss.read_index(str(path))
    return lambda query: index.search(query[np.newaxis], NEIGHBOURS)[1][0]


def _load_hnswlib(path: Path, dimension: int) -> graphs.Search:
    return graphs.hnswlib_search(graphs.load_hnswlib(path, dimension), NEIGHBOURS)


def _load_usearch(path: Path, dimension: int) -> graphs.Search:
    return graphs.usearch_search(graphs.view_usearch(path), NEIGHBOURS)


def _loaded(
    name: str,
    save: Callable[[Workshop], Path],
    load: Callable[[Path, int], graphs.Search],
    needs: tuple[str, ...] = (),
) -> tuple[Subject, Subject]:
    """A peer that checks what it opens, as ours does, and for reference the same without."""
    return (
        Subject(
            name=f"{name}, hashed first",
            role=Role.PEER,
            open=_opening(save, load, verified=True),
            needs=needs,
            note="SHA-256 of a mapping of the file, then its own load",
        ),
        Subject(
            name=f"{name}, unverified",
            role=Role.REFERENCE,
            open=_opening(save, load, verified=False),
            needs=needs,
            at_most=Effort(blocks=10, rounds=1),
        ),
    )


OPEN = MeasuredPath(
    id="P-8",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_open),
        Subject(name="SHA-256 of the file", role=Role.FLOOR, open=_hash, note="in one piece, of a mapping"),
        *_loaded("faiss flags 0", _our_file, _load_faiss),
        *_loaded("hnswlib", _save_hnswlib, _load_hnswlib, ("hnswlib",)),
        *_loaded("usearch view", _save_usearch, _load_usearch, ("usearch",)),
    ),
    full=Effort(blocks=10, rounds=3),
    quick=Effort(blocks=5, rounds=4),
)
