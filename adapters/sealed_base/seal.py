"""Writing the files of a generation from the tiles of a store.

The tiles pass twice through a sort on the disk: by archive id, in whose order the archive is written, and by
tile key, in whose order the facts are; and their digests through a third, which finds those that occur more
than once. So memory does not grow with them, but for some 20 to 32 bytes a content that several tiles share.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import attrs
import numpy as np

from ...domain.errors import BaseSealError
from ...domain.intake.mosaic import in_ranges
from ...domain.values.catalogue_entries import Keys
from ...domain.values.datasets import Dataset
from ...domain.values.place_keys import translated_keys
from ...domain.values.recall_list import RecallList
from ...domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
from ...domain.values.tile_grid import tile_bbox
from ...domain.values.tile_key import VariantTable, decode_tile_key
from ...domain.values.tiles import TileId, TileMetadata
from ...ext import TileKeyCodec
from ..files.atomic_file import new_file
from ..files.file_digests import PART_BYTES, PartDigests, PartHasher
from ..index_files import INDEX_FILES
from ..pmtiles.archive_ids import archive_ids_of_keys
from ..pmtiles.archive_writer import ArchiveWriter
from ..signatures import new_envelope
from . import facts
from .dataset_tally import DatasetTally
from .facts import FACTS_ROW, facts_row
from .manifest import (
    ARCHIVE_FILE,
    DIGESTS_FILE,
    FACTS_FILE,
    MANIFEST_FILE,
    PAYLOAD_TYPE,
    SECTORS_FILE,
    BaseManifest,
    SealedDataset,
    SealedFile,
    SealedIndex,
)
from .read_ahead import ReadAhead, ReadTiles, Wanted
from .repeated_digests import RepeatedDigests, are_among
from .seal_plan import SealPlan, of_dataset
from .sector_file import encode_sectors
from .sorted_runs import Rows, SortedRuns

FILE_MODE = 0o440
_CHUNK = 4_096
_SMALL_PART_BYTES = 1 << 20
_PLACED = np.dtype([("id", "<u8"), ("row", FACTS_ROW)])
RECALLED = "recalled"
ANOTHER_VARIANT = "another variant preferred"


@attrs.frozen(kw_only=True)
class SealSource:
    """What a base is made of."""

    rows: Callable[[], Iterable[TileMetadata]]
    read: ReadTiles
    """Called by several threads at a time."""
    sectors: tuple[SectorBoundary, ...]
    rules: tuple[FreshnessRule, ...]
    datasets: tuple[Dataset, ...]
    """All that are defined, by ascending name."""
    default_classification: SectorClassification
    aerotile: str
    """The version of this program."""
    write_index: Callable[[Path, Keys, VariantTable], SealedIndex] | None = None
    """Writes the index of the tiles with these sorted keys into a folder. None: the base has no index."""
    recalls: RecallList | None = None
    """The recall list in force: what it names is left out. None: there is none."""
    made_with: Mapping[str, str] = attrs.field(factory=dict)
    """See `BaseManifest`; empty for the tiles of a store."""


def write_generation(
    folder: Path,
    generation: int,
    source: SealSource,
    plan: SealPlan,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BaseManifest:
    """Write and sync the files of a generation into `folder`, which is empty. The manifest is not signed.

    `progress(done, total)` counts tiles. The same tiles, plan and number give the same bytes, in whatever
    order the rows come. Raises `BaseSealError`, `ContentHashMismatchError`, `OSError`, and what `source`
    raises.
    """
    with ExitStack() as open_files:
        writing = _Generation(folder, generation, source, plan, open_files)
        writing.place_tiles()
        writing.write_archive(progress)
        writing.write_facts()
    writing.write_sectors()
    writing.write_index()
    return writing.write_manifest()


class _Generation:
    """A generation while it is written; the steps in the order of `write_generation`."""

    def __init__(
        self, folder: Path, number: int, source: SealSource, plan: SealPlan, open_files: ExitStack
    ) -> None:
        self._folder, self._number, self._source, self._plan = folder, number, source, plan
        self._left_out: Counter[str] = Counter()
        self._datasets = DatasetTally(source.datasets)
        self._placed = open_files.enter_context(closing(SortedRuns(_PLACED, "id", folder)))
        self._by_key = open_files.enter_context(closing(SortedRuns(FACTS_ROW, "key", folder)))
        self._digests = open_files.enter_context(closing(RepeatedDigests(folder)))
        self._ahead = open_files.enter_context(ReadAhead(source.read))
        self._provisional = VariantTable()
        """The flights in the order in which the rows name them; by it are the keys of `_placed`."""
        self._files: dict[str, tuple[PartDigests, int]] = {}
        """The digests of the parts of each file, and its size."""
        self._index: SealedIndex | None = None

    def place_tiles(self) -> None:
        """Sort the rows that the plan takes by archive id, and their digests.

        Raises `BaseSealError` when there is none, when tiles of a dataset are among them that may not be
        stored offline, when the plan leaves out a dataset that there is not, and when it names a zoom without
        a tile.
        """
        zooms = set[int]()
        rows, recalls = iter(self._source.rows()), self._source.recalls
        while chunk := list(islice(rows, _CHUNK)):
            taken = []
            for row in chunk:
                reason = self._plan.reason_to_leave_out(row)
                if reason is None and recalls is not None and recalls.entry_for_tile(row) is not None:
                    reason = RECALLED
                if reason is None:
                    taken.append(row)
                else:
                    self._left_out[reason] += 1
            self._place(taken)
            zooms.update(row.tile_id.zoom_level for row in taken)
        self._datasets.refuse_forbidden()
        self._datasets.refuse_unknown(
            [name for name in self._plan.without if not self._left_out[of_dataset(name)]]
        )
        if not zooms:
            raise BaseSealError(
                "the store holds no tile that the base should take",
                remedy="widen --bbox and --zoom; aerotile dump lists what the store holds",
            )
        if missing := sorted(set(self._plan.zooms) - zooms):
            found = in_ranges(sorted(zooms))
            raise BaseSealError(
                f"there is no tile of zoom {in_ranges(missing)} to take (of these: {found})",
                remedy="leave these zooms out, or bring their tiles in first",
            )
        self._variants = VariantTable(tuple(sorted(self._provisional.flights)))

    def _place(self, taken: Sequence[TileMetadata]) -> None:
        try:
            variants = self._provisional.extended(row.tile_id for row in taken)
        except ValueError as error:
            raise BaseSealError(f"the tiles come from too many flights: {error}") from error
        block = np.zeros(len(taken), _PLACED)
        block["row"] = np.array(
            [facts_row(row, variants, self._datasets.position(row)) for row in taken], FACTS_ROW
        )
        block["id"] = archive_ids_of_keys(block["row"]["key"])
        self._placed.append(block)
        self._digests.append(block["row"]["sha256"])
        self._provisional = variants

    def write_archive(self, progress: Callable[[int, int], None]) -> None:
        """Write the tiles by archive id, and sort their rows, which tell where, by key."""
        codec, bounds, repeated = TileKeyCodec(self._variants), _Bounds(), self._digests.repeated()
        done, total, latest_capture_us = 0, len(self._placed), int(np.iinfo(np.int64).min)
        with (
            new_file(self._folder / ARCHIVE_FILE, FILE_MODE, readable=True) as file,
            closing(ArchiveWriter(file, total, self._folder, most_repeated=len(repeated))) as writer,
        ):
            for chunk in _in_chunks(self._one_a_place()):
                rows = chunk["row"]
                columns = (rows["length"].tolist(), rows["sha256"].tolist())
                tile_ids = codec.decode_many(np.ascontiguousarray(rows["key"]))
                wanted = [Wanted(*each) for each in zip(tile_ids, *columns, strict=True)]
                has_twin = are_among(repeated, rows["sha256"]).tolist()
                offsets = []
                for archive_id, tile, may_repeat, pixels in zip(
                    chunk["id"].tolist(), wanted, has_twin, self._ahead.tiles(wanted), strict=True
                ):
                    offsets.append(writer.add(archive_id, pixels, tile.sha256 if may_repeat else None))
                    bounds.add(tile.tile_id)
                    done += 1
                    progress(done, total)
                rows["offset"] = offsets
                self._datasets.count(rows["dataset"])
                latest_capture_us = max(latest_capture_us, int(rows["captured_us"].max()))
                self._by_key.append(rows)
            header, digests = writer.finish(
                _archive_metadata(self._number, self._datasets.sealed()), bounds.e7()
            )
        self._header, self._latest_capture_us = header, latest_capture_us
        self._files[ARCHIVE_FILE] = digests, header.archive_length
        progress(total, total)

    def _one_a_place(self) -> Iterator[Rows]:
        """One row of each place, by ascending archive id, in pieces, with keys by `_variants`."""
        for piece in self._placed.ascending():
            rows = piece["row"]
            rows["key"] = translated_keys(rows["key"], self._provisional, self._variants)
            is_first = np.ones(len(piece), bool)
            is_first[1:] = piece["id"][1:] != piece["id"][:-1]
            firsts = np.flatnonzero(is_first)
            ends = np.append(firsts[1:], len(piece))
            for group in np.flatnonzero(ends - firsts > 1).tolist():
                first, end = int(firsts[group]), int(ends[group])
                keys = rows["key"][first:end]
                in_order = np.argsort(keys)  # the answer, and an error, depend on no order of the rows
                chosen = self._plan.chosen(
                    [decode_tile_key(int(keys[each]), self._variants) for each in in_order]
                )
                firsts[group] = first + in_order[chosen]
                self._left_out[ANOTHER_VARIANT] += end - first - 1
            yield piece[firsts]

    def write_facts(self) -> None:
        """Write the facts by tile key, and keep the first key of each part."""
        first_keys: list[bytes] = []
        self._write(FACTS_FILE, self._facts(first_keys), facts.PART_BYTES)
        self._first_keys = b"".join(first_keys)

    def _facts(self, first_keys: list[bytes]) -> Iterator[bytes]:
        """The bytes of the facts; appends the first key of each part."""
        written = 0
        for piece in self._by_key.ascending():
            first_keys.append(piece["key"][-written % facts.PART_ROWS :: facts.PART_ROWS].tobytes())
            written += len(piece)
            piece["dataset"] = self._datasets.renamed(piece["dataset"])
            yield piece.tobytes()

    def write_sectors(self) -> None:
        """Write the sectors and the rules."""
        self._write(SECTORS_FILE, [encode_sectors(self._source.sectors, self._source.rules)])

    def write_index(self) -> None:
        """Have the index written, where the base has one."""
        if self._source.write_index is None:
            return
        taken = np.memmap(self._folder / FACTS_FILE, FACTS_ROW, "r")["key"]
        self._index = self._source.write_index(self._folder, taken, self._variants)
        for name in INDEX_FILES:
            self._files[name] = _digests_of(self._folder / name)

    def write_manifest(self) -> BaseManifest:
        """Write the digests of the parts of all files, and the manifest, which names their roots."""
        source, plan = self._source, self._plan
        sealed = {
            name: SealedFile(size, digests.part_bytes, digests.root)
            for name, (digests, size) in self._files.items()
        }
        self._write(DIGESTS_FILE, [*(digests.raw() for digests, _ in self._files.values()), self._first_keys])
        manifest = BaseManifest(
            generation=self._number,
            boxes=plan.boxes or plan.chosen_within,
            zooms=plan.zooms,
            prefer=plan.prefer,
            tiles=self._header.tiles,
            contents=self._header.contents,
            latest_capture_us=self._latest_capture_us,
            left_out=dict(self._left_out),
            variants=self._variants,
            datasets=self._datasets.sealed(),
            default_classification=source.default_classification.value,
            aerotile=source.aerotile,
            recall_number=0 if source.recalls is None else source.recalls.number,
            first_keys_sha256=hashlib.sha256(self._first_keys).hexdigest(),
            index=self._index,
            made_with=dict(source.made_with),
            files=sealed,
        )
        self._write(MANIFEST_FILE, [new_envelope(manifest.encode(), PAYLOAD_TYPE)])
        return manifest

    def _write(self, name: str, pieces: Iterable[bytes], part_bytes: int = _SMALL_PART_BYTES) -> None:
        """Write and sync a new file; keeps the digests of its parts, and its size."""
        hasher, size = PartHasher(part_bytes), 0
        with new_file(self._folder / name, FILE_MODE) as file:
            for piece in pieces:
                file.write(piece)
                hasher.update(piece)
                size += len(piece)
        self._files[name] = hasher.digests(), size


def _in_chunks(pieces: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows in smaller pieces: what Python keeps of each tile of a piece is many times its row."""
    for piece in pieces:
        for first in range(0, len(piece), _CHUNK):
            yield piece[first : first + _CHUNK]


class _Bounds:
    """The box around all tiles."""

    def __init__(self) -> None:
        self._by_zoom: dict[int, tuple[int, int, int, int]] = {}

    def add(self, tile_id: TileId) -> None:
        x, y = tile_id.x, tile_id.y
        known = self._by_zoom.get(tile_id.zoom_level)
        self._by_zoom[tile_id.zoom_level] = (
            (x, y, x, y)
            if known is None
            else (min(known[0], x), min(known[1], y), max(known[2], x), max(known[3], y))
        )

    def e7(self) -> tuple[int, int, int, int]:
        """West, south, east, north in units of 1e-7 degrees."""
        boxes = [
            box
            for zoom, (min_x, min_y, max_x, max_y) in self._by_zoom.items()
            for box in (tile_bbox(min_x, min_y, zoom), tile_bbox(max_x, max_y, zoom))
        ]
        return (
            round(min(box.min_lon for box in boxes) * 1e7),
            round(min(box.min_lat for box in boxes) * 1e7),
            round(max(box.max_lon for box in boxes) * 1e7),
            round(max(box.max_lat for box in boxes) * 1e7),
        )


def _archive_metadata(generation: int, datasets: Iterable[SealedDataset]) -> bytes:
    facts = {"name": f"Aerotile base {generation}", "type": "baselayer", "format": "jpg"}
    attributions = dict.fromkeys(sealed.dataset.attribution for sealed in datasets)
    if attributions:  # which programs that show the archive show beside it
        facts["attribution"] = "; ".join(attributions)
    return json.dumps(facts, sort_keys=True).encode("ascii")


def _digests_of(path: Path) -> tuple[PartDigests, int]:
    """The digests of the parts of a file that was written, and its size."""
    hasher = PartHasher(PART_BYTES)
    with path.open("rb") as file:
        while piece := file.read(PART_BYTES):
            hasher.update(piece)
        return hasher.digests(), file.tell()
