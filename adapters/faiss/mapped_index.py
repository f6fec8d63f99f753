"""Opening a generation: verify every byte, then let FAISS search in the very mapping that was verified."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from ...domain.errors import AerotileError, IndexUnavailableError
from ...domain.values.descriptors import DescriptorMetric, IndexMetadata, SearchHit
from ...ext import TileKeyCodec
from ..descriptor_arrays import component_of
from ..files.file_digests import FileDigests
from ..files.generations import open_generation_file
from ..files.mapped_file import map_generation_file, sha256_of_mapping
from ..files.regular_file import read_at_most
from ..index_files import DESCRIPTORS_FILE, INDEX_FILE, METADATA_FILE, ROWS_FILE
from .area_search import AreaSearch
from .generations import INDEX_KIND, REMEDY, SIDECAR_FILE
from .index_layout import IndexLayoutError, check_layout
from .kinds import graph_codes
from .metadata_file import decode_metadata
from .place_order import FAISS_METRICS, PlaceOrderError, RowsFile

# The type stubs that faiss ships lack some names and get others wrong.
_faiss: Any = faiss
_swig_ptr = _faiss.swig_ptr
_SMALL_FILE_BYTES = 4 << 20
"""Room for the metadata of 16,382 flights; nothing larger is read into memory."""
_CANDIDATES_PER_HIT = 4
"""Rows that a graph over codes is asked for, for each one that is wanted; see docs/performance.md."""


@attrs.frozen(eq=False)
class MappedIndex:
    """A verified index over its mapping; any number of threads may search it, none may add to it.

    The graph points into the mapping, so a search holds a reference to this object, not to the graph alone.
    """

    metadata: IndexMetadata
    _graph: Any
    _keys: npt.NDArray[np.int64]
    """Row i of the graph is the tile of `_keys[i]`; the array lies in the mapping, at any address."""
    _mapping: mmap.mmap
    areas: AreaSearch | None
    """None for an index built before searches within an area; a kind that follows keys always has them."""
    _codec: TileKeyCodec = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_codec", TileKeyCodec(self.metadata.variants))

    def keys(self) -> npt.NDArray[np.int64]:
        """The tile key of each row, copied out of the mapping."""
        return np.array(self._keys, np.int64)

    def vectors(self) -> npt.NDArray[Any]:
        """The vectors that the graph holds, row i of the tile of `keys()[i]`, where they lie."""
        codes = _faiss.downcast_index(self._graph.storage).codes
        stored = _faiss.rev_swig_ptr(codes.data(), codes.size())
        component = component_of(self.metadata.storage)
        found: npt.NDArray[Any] = stored.view(component).reshape(-1, self.metadata.dimension)
        return found

    def nearest(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """The `k` nearest tiles, nearest first, each once by its best descriptor.

        Among equals the lower key comes first; fewer come back where FAISS found fewer. `descriptor` is
        contiguous. Raises `IndexUnavailableError`.
        """
        rows_a_tile = 1 if self.areas is None else self.areas.rows_a_tile
        wanted = min(k * rows_a_tile, self.metadata.count)
        if self.areas is not None and self.metadata.kind.follows_keys:
            rows, distances = self._refined_rows(self.areas, descriptor, wanted)
        else:
            rows, distances = self._nearest_rows(descriptor, wanted)
        ascending = self.metadata.metric is DescriptorMetric.L2
        try:
            hits = self._codec.nearest_hits(
                self._keys, rows, distances, len(rows), k, ascending=ascending, are_all=True
            )
            return hits or []  # None does not come back where they are all
        except (KeyError, ValueError) as error:
            raise IndexUnavailableError(f"the index holds an id that names no tile: {error}") from error

    def _refined_rows(
        self, areas: AreaSearch, descriptor: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The graph's candidates for the `k` nearest rows, with distances by the stored vectors."""
        breadth = max(_CANDIDATES_PER_HIT * k, self._graph.hnsw.efSearch)
        rows, _ = self._nearest_rows(descriptor, min(breadth, self.metadata.count))
        rows = rows[rows >= 0]
        return rows, areas.distances(descriptor, rows)

    def _nearest_rows(
        self, descriptor: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The `k` nearest rows, nearest first, with their distances; row -1 is none.

        It asks the graph and looks up the keys itself: `IndexIDMap2.search` starts an OpenMP team for a
        single query too, and waits for all its threads to be scheduled, which on a busy machine took 20 ms
        instead of 0.6 ms. FAISS's wrapper in Python would check again what was checked.
        """
        distances = np.empty(k, np.float32)
        rows = np.empty(k, np.int64)
        try:
            self._graph.search_c(1, _swig_ptr(descriptor), k, _swig_ptr(distances), _swig_ptr(rows))
        except (RuntimeError, MemoryError) as error:
            raise IndexUnavailableError(f"faiss can't search the index: {error}") from error
        return rows, distances


def open_mapped_index(folder: Path, ef_search: int) -> MappedIndex:
    """Open the generation in `folder`.

    The two hashes of the sidecar (of index and metadata), the hash in the metadata, and the index's own type,
    dimension, count, metric and graph must agree, and this FAISS must be one that reads what the writer's
    wrote: the same major version, and a minor version that is not older.
    Raises `IndexUnavailableError` naming what differs.
    """
    try:
        sidecar = _read_small_file(folder, SIDECAR_FILE)
        metadata_bytes = _read_small_file(folder, METADATA_FILE)
    except OSError as error:
        raise _unreadable(folder, error) from error
    hashes = {METADATA_FILE: hashlib.sha256(metadata_bytes).hexdigest()}
    if sidecar_content(hashes) not in sidecar.splitlines(keepends=True):
        raise _unavailable(folder, _difference_from_sidecar(sidecar, hashes))
    metadata, digests = _decoded(folder, metadata_bytes)
    hashes = {INDEX_FILE: metadata.sha256, **hashes}
    if sidecar != sidecar_content(hashes):
        raise _unavailable(folder, _difference_from_sidecar(sidecar, hashes))
    graph = open_graph(folder, metadata, digests, ef_search)
    return checked_index(folder, metadata, *graph, open_areas(folder, metadata))


def checked_index(
    folder: Path,
    metadata: IndexMetadata,
    graph: Any,
    keys: npt.NDArray[np.int64],
    mapping: mmap.mmap,
    areas: AreaSearch | None,
) -> MappedIndex:
    """Graph and place-ordered descriptors together. Raises `IndexUnavailableError` when they differ."""
    if metadata.kind.follows_keys and (areas is None or not np.array_equal(areas.keys, keys)):
        raise _unavailable(folder, f"{INDEX_FILE} and {ROWS_FILE} are not of the same rows")
    return MappedIndex(metadata, graph, keys, mapping, areas)


def read_metadata(folder: Path, sha256: str) -> tuple[IndexMetadata, FileDigests]:
    """The metadata of the index in `folder`, whose file has this SHA-256, and the digests of the graph.

    Raises `IndexUnavailableError`.
    """
    try:
        content = _read_small_file(folder, METADATA_FILE)
    except OSError as error:
        raise _unreadable(folder, error) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _unavailable(folder, f"{METADATA_FILE} is not the file that was sealed")
    return _decoded(folder, content)


def _decoded(folder: Path, content: bytes) -> tuple[IndexMetadata, FileDigests]:
    try:
        metadata, digests = decode_metadata(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unavailable(folder, f"{METADATA_FILE} is not index metadata ({error!r})") from error
    if not _readable_version(metadata.faiss_version):
        raise _unavailable(
            folder, f"it was written by faiss {metadata.faiss_version}, this is {faiss.__version__}"
        )
    # A generation that is being built lies in a folder with an ending.
    return attrs.evolve(metadata, generation=folder.name.partition(".")[0]), digests


def open_graph(
    folder: Path, metadata: IndexMetadata, digests: FileDigests, ef_search: int
) -> tuple[Any, npt.NDArray[np.int64], mmap.mmap]:
    """Map the graph in `folder`, hash it whole, and compare it with its metadata, which was verified.

    Returns the graph, the tile key of each of its rows, and the mapping, which must outlive both.
    Raises `IndexUnavailableError` naming what differs.
    """
    try:
        mapping = map_generation_file(folder, INDEX_FILE)
        difference = digests.first_difference(mapping, folder / INDEX_FILE)
    except OSError as error:
        raise _unreadable(folder, error) from error
    if difference is not None:
        raise _unavailable(
            folder, f"{INDEX_FILE} is not the file that {METADATA_FILE} describes, from byte {difference} on"
        )
    graph, keys = _graph_over(mapping, folder)
    differences = list(_differences(graph, metadata))
    if differences:
        raise _unavailable(folder, f"{INDEX_FILE} and {METADATA_FILE} differ: {'; '.join(differences)}")
    graph.hnsw.efSearch = ef_search
    return graph, keys, mapping


def open_areas(folder: Path, metadata: IndexMetadata) -> AreaSearch | None:
    """Map the place-ordered descriptors in `folder` and hash their rows; a block is hashed when it is used.

    None for an index without them. Raises `IndexUnavailableError`.
    """
    if metadata.rows_sha256 is None:
        return None
    try:
        rows = map_generation_file(folder, ROWS_FILE)
        if sha256_of_mapping(rows, folder / ROWS_FILE) != metadata.rows_sha256:
            raise _unavailable(folder, f"{ROWS_FILE} is not the file that {METADATA_FILE} describes")
        return AreaSearch(
            folder, map_generation_file(folder, DESCRIPTORS_FILE), RowsFile.decode(rows), metadata
        )
    except OSError as error:
        raise _unreadable(folder, error) from error
    except PlaceOrderError as error:
        raise _unavailable(folder, f"{ROWS_FILE} is none of ours: {error}") from error


def sidecar_content(hashes: dict[str, str]) -> bytes:
    """The sidecar, a line per file, as `sha256sum -c` takes it."""
    return "".join(f"{digest}  {name}\n" for name, digest in hashes.items()).encode("ascii")


def _read_small_file(folder: Path, name: str) -> bytes:
    """A file's bytes. Raises `OSError`, also when it is larger than any that we write."""
    return read_at_most(open_generation_file(folder, name), _SMALL_FILE_BYTES, folder / name)


def _graph_over(mapping: mmap.mmap, folder: Path) -> tuple[Any, npt.NDArray[np.int64]]:
    """The graph and the tile key of each row.

    FAISS is given the bytes of the graph alone: of a whole `IndexIDMap2` it would copy the ids and make a
    table from each of them to its row, about 50 bytes a tile, which no search asks.
    """
    try:
        sections = check_layout(mapping)
    except IndexLayoutError as error:
        raise _unavailable(folder, f"{INDEX_FILE} is no index of ours: {error}") from error
    content = np.frombuffer(mapping, np.uint8)
    ids = sections["ids"]
    keys = content[ids.begin : ids.end].view("<i8")
    graph = content[sections["graph magic"].begin : ids.begin]
    try:
        read = faiss.read_index(_faiss.ZeroCopyIOReader(_swig_ptr(graph), graph.size))
    except (RuntimeError, MemoryError) as error:
        raise _unavailable(folder, f"faiss can't read {INDEX_FILE} ({_first_line(error)})") from error
    return read, keys


def _differences(graph: Any, metadata: IndexMetadata) -> Iterator[str]:
    """What the graph is and its metadata say otherwise, one text each."""
    codes = graph_codes(metadata.kind, metadata.storage)
    if type(graph) is not codes.graph_class:
        yield f"the graph is a {type(graph).__name__}, not a {codes.graph_class.__name__}"
        return
    if codes.quantizer is not None:
        quantizer = _faiss.downcast_index(graph.storage).sq.qtype
        if quantizer != codes.quantizer:
            yield f"the vectors are quantized as {quantizer}, not as {codes.quantizer}"
            return
    facts = (  # of the graph; `check_layout` holds the index around it to the same
        ("dimension", graph.d, metadata.dimension),
        ("count", graph.ntotal, metadata.count),
        ("metric", graph.metric_type, FAISS_METRICS[metadata.metric]),
        # FAISS links a node to m others, on the lowest layer to 2 m.
        ("m", graph.hnsw.nb_neighbors(1), metadata.params.m),
        ("ef_construction", graph.hnsw.efConstruction, metadata.params.ef_construction),
    )
    for name, actual, promised in facts:
        if actual != promised:
            yield f"{name} is {actual} in the index, {promised} in the metadata"


def _readable_version(written_by: str) -> bool:
    try:
        writer = tuple(int(part) for part in written_by.split(".")[:2])
    except ValueError:
        return False
    reader = tuple(int(part) for part in faiss.__version__.split(".")[:2])
    return len(writer) == 2 and writer[0] == reader[0] and writer <= reader


def _difference_from_sidecar(sidecar: bytes, hashes: dict[str, str]) -> str:
    lines = sidecar.splitlines(keepends=True)
    for name, digest in hashes.items():
        if sidecar_content({name: digest}) not in lines:
            return f"the SHA-256 of {name} is {digest}, which {SIDECAR_FILE} does not say"
    return f"{SIDECAR_FILE} holds lines that do not belong there"


def _unreadable(folder: Path, error: OSError) -> AerotileError:
    return INDEX_KIND.unreadable(str(error.filename or folder), error)


def _unavailable(folder: Path, difference: str) -> IndexUnavailableError:
    return IndexUnavailableError(f"the index generation {folder} can't be used: {difference}", remedy=REMEDY)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
