"""Writing the files of a generation from the tiles of a store.

The tiles pass twice through a sort on the disk: by archive id, in whose order the archive is written, and by
tile key, in whose order the facts are; and their digests through a third, which finds those that occur more
than once. So memory does not grow with them, but for some 20 to 32 bytes a content that several tiles share.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
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
from ..pmtiles.archive_header import ArchiveHeader
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
from .repeated_digests import Prefixes, RepeatedDigests, are_among
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
    left_out: Counter[str] = Counter()
    of_datasets = DatasetTally(source.datasets)
    placed = SortedRuns(_PLACED, "id", folder)
    by_key = SortedRuns(FACTS_ROW, "key", folder)
    with (
        closing(placed),
        closing(by_key),
        closing(RepeatedDigests(folder)) as digests,
        ReadAhead(source.read) as ahead,
    ):
        provisional = _place(source, plan, placed, digests, left_out, of_datasets)
        if not len(placed):
            raise BaseSealError(
                "the store holds no tile that the base should take",
                remedy="widen --bbox and --zoom; aerotile dump lists what the store holds",
            )
        variants = VariantTable(tuple(sorted(provisional.flights)))
        files: dict[str, PartDigests] = {}
        sizes: dict[str, int] = {}
        pieces = _one_a_place(placed, provisional, plan, variants, left_out)
        header, files[ARCHIVE_FILE], latest_capture_us = _write_archive(
            folder,
            generation,
            _in_chunks(pieces),
            len(placed),
            digests.repeated(),
            variants,
            ahead,
            by_key,
            of_datasets,
            progress,
        )
        sizes[ARCHIVE_FILE] = header.archive_length
        progress(len(placed), len(placed))
        first_keys: list[bytes] = []
        files[FACTS_FILE], sizes[FACTS_FILE] = _write(
            folder / FACTS_FILE, _facts_of(by_key, first_keys, of_datasets), facts.PART_BYTES
        )
    sectors = encode_sectors(source.sectors, source.rules)
    files[SECTORS_FILE], sizes[SECTORS_FILE] = _write(folder / SECTORS_FILE, [sectors], _SMALL_PART_BYTES)
    index = None
    if source.write_index is not None:
        taken = np.memmap(folder / FACTS_FILE, FACTS_ROW, "r")["key"]
        index = source.write_index(folder, taken, variants)
        for name in INDEX_FILES:
            files[name], sizes[name] = _digests_of(folder / name)
    keys = b"".join(first_keys)
    _write(folder / DIGESTS_FILE, (*(digests.raw() for digests in files.values()), keys), _SMALL_PART_BYTES)
    manifest = BaseManifest(
        generation=generation,
        boxes=plan.boxes or plan.chosen_within,
        zooms=plan.zooms,
        prefer=plan.prefer,
        tiles=header.tiles,
        contents=header.contents,
        latest_capture_us=latest_capture_us,
        left_out=dict(left_out),
        variants=variants,
        datasets=of_datasets.sealed(),
        default_classification=source.default_classification.value,
        aerotile=source.aerotile,
        recall_number=0 if source.recalls is None else source.recalls.number,
        first_keys_sha256=hashlib.sha256(keys).hexdigest(),
        index=index,
        made_with=dict(source.made_with),
        files={
            name: SealedFile(sizes[name], digests.part_bytes, digests.root) for name, digests in files.items()
        },
    )
    _write(folder / MANIFEST_FILE, [new_envelope(manifest.encode(), PAYLOAD_TYPE)], _SMALL_PART_BYTES)
    return manifest


def _place(
    source: SealSource,
    plan: SealPlan,
    placed: SortedRuns,
    digests: RepeatedDigests,
    left_out: Counter[str],
    of_datasets: DatasetTally,
) -> VariantTable:
    """Append the rows that the plan takes, and their digests; returns the table that names their flights.

    Raises `BaseSealError` when tiles of a dataset are among them that may not be stored offline, when the
    plan leaves out a dataset that there is not, and when it names a zoom of which there is no tile.
    """
    variants, zooms = VariantTable(), set[int]()
    rows, recalls = iter(source.rows()), source.recalls
    while chunk := list(islice(rows, _CHUNK)):
        taken = []
        for row in chunk:
            reason = plan.reason_to_leave_out(row)
            if reason is None and recalls is not None and recalls.entry_for_tile(row) is not None:
                reason = RECALLED
            if reason is None:
                taken.append(row)
            else:
                left_out[reason] += 1
        try:
            variants = variants.extended(row.tile_id for row in taken)
        except ValueError as error:
            raise BaseSealError(f"the tiles come from too many flights: {error}") from error
        block = np.zeros(len(taken), _PLACED)
        block["row"] = np.array(
            [facts_row(row, variants, of_datasets.position(row)) for row in taken], FACTS_ROW
        )
        block["id"] = archive_ids_of_keys(block["row"]["key"])
        zooms.update(row.tile_id.zoom_level for row in taken)
        placed.append(block)
        digests.append(block["row"]["sha256"])
    of_datasets.refuse_forbidden()
    of_datasets.refuse_unknown([name for name in plan.without if not left_out[of_dataset(name)]])
    if zooms and (missing := sorted(set(plan.zooms) - zooms)):
        raise BaseSealError(
            f"there is no tile of zoom {in_ranges(missing)} to take (of these: {in_ranges(sorted(zooms))})",
            remedy="leave these zooms out, or bring their tiles in first",
        )
    return variants


def _write_archive(
    folder: Path,
    generation: int,
    chunks: Iterable[Rows],
    total: int,
    repeated: Prefixes,
    variants: VariantTable,
    ahead: ReadAhead,
    by_key: SortedRuns,
    of_datasets: DatasetTally,
    progress: Callable[[int, int], None],
) -> tuple[ArchiveHeader, PartDigests, int]:
    """Write and sync the tiles in the order of `chunks`; append their rows, which tell where, to `by_key`.

    Returns the header, the digests and the latest capture time, in microseconds since 1970.
    """
    codec, bounds = TileKeyCodec(variants), _Bounds()
    done, latest_capture_us = 0, int(np.iinfo(np.int64).min)
    with (
        new_file(folder / ARCHIVE_FILE, FILE_MODE, readable=True) as file,
        closing(ArchiveWriter(file, total, folder, most_repeated=len(repeated))) as writer,
    ):
        for chunk in chunks:
            rows = chunk["row"]
            columns = (rows["length"].tolist(), rows["sha256"].tolist())
            tile_ids = codec.decode_many(np.ascontiguousarray(rows["key"]))
            wanted = [Wanted(*each) for each in zip(tile_ids, *columns, strict=True)]
            has_twin = are_among(repeated, rows["sha256"]).tolist()
            offsets = []
            for archive_id, tile, may_repeat, pixels in zip(
                chunk["id"].tolist(), wanted, has_twin, ahead.tiles(wanted), strict=True
            ):
                offsets.append(writer.add(archive_id, pixels, tile.sha256 if may_repeat else None))
                bounds.add(tile.tile_id)
                done += 1
                progress(done, total)
            rows["offset"] = offsets
            of_datasets.count(rows["dataset"])
            latest_capture_us = max(latest_capture_us, int(rows["captured_us"].max()))
            by_key.append(rows)
        header, digests = writer.finish(_archive_metadata(generation, of_datasets.sealed()), bounds.e7())
    return header, digests, latest_capture_us


def _facts_of(by_key: SortedRuns, first_keys: list[bytes], of_datasets: DatasetTally) -> Iterator[bytes]:
    """The bytes of `facts`; appends the first key of each part."""
    written = 0
    for piece in by_key.ascending():
        first_keys.append(piece["key"][-written % facts.PART_ROWS :: facts.PART_ROWS].tobytes())
        written += len(piece)
        piece["dataset"] = of_datasets.renamed(piece["dataset"])
        yield piece.tobytes()


def _one_a_place(
    placed: SortedRuns,
    provisional: VariantTable,
    plan: SealPlan,
    variants: VariantTable,
    left_out: Counter[str],
) -> Iterator[Rows]:
    """One row of each place, by ascending archive id, in pieces, with keys by `variants`."""
    for piece in placed.ascending():
        rows = piece["row"]
        rows["key"] = translated_keys(rows["key"], provisional, variants)
        is_first = np.ones(len(piece), bool)
        is_first[1:] = piece["id"][1:] != piece["id"][:-1]
        firsts = np.flatnonzero(is_first)
        ends = np.append(firsts[1:], len(piece))
        for group in np.flatnonzero(ends - firsts > 1).tolist():
            first, end = int(firsts[group]), int(ends[group])
            keys = rows["key"][first:end]
            in_order = np.argsort(keys)  # the answer, and an error, must not depend on the order of the rows
            chosen = plan.chosen([decode_tile_key(int(keys[each]), variants) for each in in_order])
            firsts[group] = first + in_order[chosen]
            left_out[ANOTHER_VARIANT] += end - first - 1
        yield piece[firsts]


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


def _write(path: Path, pieces: Iterable[bytes], part_bytes: int) -> tuple[PartDigests, int]:
    """Write and sync a new file; returns the digests of its parts, and its size."""
    hasher, size = PartHasher(part_bytes), 0
    with new_file(path, FILE_MODE) as file:
        for piece in pieces:
            file.write(piece)
            hasher.update(piece)
            size += len(piece)
    return hasher.digests(), size


def _digests_of(path: Path) -> tuple[PartDigests, int]:
    """The digests of the parts of a file that was written, and its size."""
    hasher = PartHasher(PART_BYTES)
    with path.open("rb") as file:
        while piece := file.read(PART_BYTES):
            hasher.update(piece)
        return hasher.digests(), file.tell()
