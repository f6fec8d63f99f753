"""`manifest.json`: what a generation is, and the digests that bind its files. No time and no host in it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import attrs

from ...domain.values.datasets import Dataset, DigestOf
from ...domain.values.descriptors import MAX_MODEL_NAME
from ...domain.values.recall_list import MOST_NUMBER
from ...domain.values.tile_grid import MAX_ZOOM, Bbox
from ...domain.values.tile_key import VariantTable
from ...domain.values.timestamps import read_time
from ...domain.values.validators import check_one_line, is_sha256
from ..index_files import INDEX_FILES
from ..strict_json import parse_json

FORMAT = 2
PAYLOAD_TYPE = "application/vnd.aerotile.base+json"
ARCHIVE_FILE = "tiles.pmtiles"
FACTS_FILE = "facts"
SECTORS_FILE = "sectors.json"
DIGESTS_FILE = "digests"
MANIFEST_FILE = "manifest.json"
FILES = (ARCHIVE_FILE, FACTS_FILE, SECTORS_FILE)
"""The files of each generation; `INDEX_FILES` lie behind them where it has an index."""
DIGEST_BYTES, KEY_BYTES = 32, 8
MAX_DATASETS = (1 << 16) - 1
MOST_MANIFEST_BYTES = 16 << 20
"""Of a manifest with its signatures."""
_MOST_BYTES = (1 << 48) - 1


@attrs.frozen
class SealedFile:
    """One file of a generation."""

    size: int
    part_bytes: int
    digest: str
    """The SHA-256 of the digests of the file's parts, which `digests` holds."""

    @property
    def parts(self) -> int:
        """How many parts it has."""
        return -(-self.size // self.part_bytes)


@attrs.frozen
class SealedDataset:
    """A dataset of which a generation has tiles; facts name it by its position in the manifest, from 1."""

    dataset: Dataset
    tiles: int
    """How many of the generation's tiles are of it."""

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        captured_at = self.dataset.captured_at
        return attrs.asdict(self.dataset) | {
            "digest_of": self.dataset.digest_of.value,
            "captured_at": None if captured_at is None else captured_at.isoformat(),
            "tiles": self.tiles,
        }


@attrs.frozen(kw_only=True)
class SealedIndex:
    """The descriptor index of a generation. Raises `ValueError` for impossible numbers."""

    descriptor_model: str
    descriptors: int
    tiles: int
    """Tiles that have a descriptor."""
    dropped: int
    """Descriptors of tiles that were not taken."""
    built_by: str
    """The library that built the graph, and the instruction set: both decide its bytes."""
    metadata_sha256: str
    """Of the file with the index's metadata, which holds the digests of graph and rows."""

    def __attrs_post_init__(self) -> None:
        for name, low, high, value in (
            ("descriptors", 1, _MOST_BYTES, self.descriptors),
            ("tiles", 1, self.descriptors, self.tiles),
            ("dropped", 0, _MOST_BYTES, self.dropped),
        ):
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} of the index must be within {low}..{high}, got {value!r}")
        if not is_sha256(self.metadata_sha256):
            raise ValueError(f"the digest of the index is {self.metadata_sha256!r}")
        for name, text in (("descriptor_model", self.descriptor_model), ("built_by", self.built_by)):
            check_one_line(text, f"{name} of the index", MAX_MODEL_NAME)


@attrs.frozen(kw_only=True)
class BaseManifest:
    """What a generation is. Raises `ValueError` for impossible numbers."""

    generation: int
    boxes: tuple[Bbox, ...]
    """The area; none: everywhere."""
    zooms: tuple[int, ...]
    """The zooms asked for; none: all."""
    prefer: tuple[str, ...]
    """The order by which one variant of each place was taken."""
    tiles: int
    contents: int
    """Different tiles: identical ones are stored once."""
    latest_capture_us: int
    """Of all tiles, microseconds since 1970: a clock that shows an earlier time is wrong."""
    left_out: dict[str, int]
    """Tiles of the store that were not taken, by reason."""
    variants: VariantTable
    datasets: tuple[SealedDataset, ...]
    """By ascending name; the tiles that none of them counts are of no dataset."""
    default_classification: str
    """Of ground in no sector, when the base was sealed."""
    aerotile: str
    """The version of the program that wrote the files."""
    recall_number: int
    """Of the recall list that was in force at the seal; 0: none. No older list may be in force beside it."""
    first_keys_sha256: str
    """Of the first tile key of each part of the facts, behind the digests in `digests`."""
    files: dict[str, SealedFile]
    index: SealedIndex | None = None
    made_with: dict[str, str] = attrs.field(factory=dict)
    """What decided the bytes that `aerotile build` made: versions, and the instruction set."""

    def __attrs_post_init__(self) -> None:
        for name, low, high, value in (
            ("generation", 1, MOST_NUMBER, self.generation),
            ("recall_number", 0, MOST_NUMBER, self.recall_number),
            ("tiles", 1, _MOST_BYTES, self.tiles),
            ("contents", 1, self.tiles, self.contents),
            ("latest_capture_us", -(1 << 56), 1 << 56, self.latest_capture_us),
            ("datasets", 0, MAX_DATASETS, len(self.datasets)),
            *(("tiles of a dataset", 1, self.tiles, sealed.tiles) for sealed in self.datasets),
            ("tiles of all datasets", 0, self.tiles, sum(sealed.tiles for sealed in self.datasets)),
            *(("zoom", 0, MAX_ZOOM, zoom) for zoom in self.zooms),
            *(("size", 1, _MOST_BYTES, file.size) for file in self.files.values()),
            *(("part_bytes", 1, 1 << 30, file.part_bytes) for file in self.files.values()),
        ):
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number within {low}..{high}, got {value!r}")
        if not all(isinstance(each, str) for pair in self.made_with.items() for each in pair):
            raise ValueError(f"made_with must be texts, got {self.made_with!r}")
        names = [sealed.dataset.name for sealed in self.datasets]
        if names != sorted(set(names)):
            raise ValueError(f"the datasets must ascend by name, got {', '.join(names)}")
        if set(self.files) != set(self.file_names):
            raise ValueError(f"it names the files {', '.join(sorted(self.files))}")
        digests = {name: file.digest for name, file in self.files.items()}
        for name, digest in (*digests.items(), ("first_keys", self.first_keys_sha256)):
            if not is_sha256(digest):
                raise ValueError(f"the digest of {name} is {digest!r}")

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files that `digests` has the parts of, in order; behind them it has the first keys."""
        return FILES if self.index is None else FILES + INDEX_FILES

    def first_part(self, name: str) -> int:
        """The place in `digests` of a file's first part, counted in digests."""
        before = self.file_names[: self.file_names.index(name)]
        return sum(self.files[each].parts for each in before)

    @property
    def name(self) -> str:
        """The name of the generation's folder."""
        return f"{self.generation:06d}"

    def encode(self) -> bytes:
        """The manifest as JSON; the same manifest gives the same bytes."""
        facts: dict[str, object] = {
            "format": FORMAT,
            "generation": self.generation,
            "area": [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in self.boxes],
            "zooms": list(self.zooms),
            "prefer": list(self.prefer),
            "tiles": self.tiles,
            "contents": self.contents,
            "latest_capture_us": self.latest_capture_us,
            "left_out": self.left_out,
            "flights": [str(flight) for flight in self.variants.flights],
            "datasets": [sealed.facts() for sealed in self.datasets],
            "default_classification": self.default_classification,
            "aerotile": self.aerotile,
            "recall_number": self.recall_number,
            "first_keys_sha256": self.first_keys_sha256,
            "files": {name: attrs.asdict(file) for name, file in self.files.items()},
        }
        if self.index is not None:
            facts["index"] = attrs.asdict(self.index)
        if self.made_with:
            facts["made_with"] = self.made_with
        return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def decode_manifest(content: bytes) -> BaseManifest:
    """The manifest in JSON. Raises `ValueError`."""
    try:
        return _decode(parse_json(content.decode("utf-8")))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no manifest of ours ({error!r})") from error


def _decode(facts: dict[str, Any]) -> BaseManifest:
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, this program reads {FORMAT}")
    return BaseManifest(
        generation=facts["generation"],
        boxes=tuple(Bbox(south, west, north, east) for west, south, east, north in facts["area"]),
        zooms=tuple(facts["zooms"]),
        prefer=tuple(map(str, facts["prefer"])),
        tiles=facts["tiles"],
        contents=facts["contents"],
        latest_capture_us=facts["latest_capture_us"],
        left_out={str(reason): int(count) for reason, count in facts["left_out"].items()},
        variants=VariantTable(tuple(UUID(flight) for flight in facts["flights"])),
        datasets=tuple(_decode_dataset(each) for each in facts["datasets"]),
        default_classification=str(facts["default_classification"]),
        aerotile=str(facts["aerotile"]),
        recall_number=facts["recall_number"],
        first_keys_sha256=facts["first_keys_sha256"],
        files={str(name): SealedFile(**file) for name, file in facts["files"].items()},
        index=SealedIndex(**facts["index"]) if "index" in facts else None,
        made_with=dict(facts.get("made_with", {})),
    )


def _decode_dataset(facts: dict[str, Any]) -> SealedDataset:
    of_dataset = dict(facts)
    tiles, captured_at = of_dataset.pop("tiles"), of_dataset.pop("captured_at")
    return SealedDataset(
        Dataset(
            **of_dataset
            | {
                "digest_of": DigestOf(of_dataset["digest_of"]),
                "captured_at": None if captured_at is None else read_time(captured_at),
            }
        ),
        tiles,
    )
