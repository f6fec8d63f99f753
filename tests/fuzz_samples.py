"""Good inputs of every parser of outside bytes, for the fuzzing to change."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from uuid import UUID

import numpy as np
import wmts
from sealed_bases import NOBODY, seal, square

from aerotile.adapters.faiss.metadata_file import encode_metadata
from aerotile.adapters.files.file_digests import FileDigests
from aerotile.adapters.http.protocol import frames
from aerotile.adapters.index_files import INDEX_FILES
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.pmtiles.archive_header import ArchiveHeader
from aerotile.adapters.recall_lists.list_format import encode_list
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.adapters.sealed_base.key_list import KeyList
from aerotile.adapters.sealed_base.manifest import FILES, BaseManifest, SealedDataset, SealedFile, SealedIndex
from aerotile.domain.flight_events import EventKind, FlightEvent, RecordEnvelope
from aerotile.domain.values.areas import Area
from aerotile.domain.values.datasets import Dataset, DigestOf
from aerotile.domain.values.descriptors import HnswParams, IndexMetadata, VectorStorage
from aerotile.domain.values.recall_list import CaptureRange, RecallList
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.domain.values.upload_reports import TileToSend, UploadBatch

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    b"\xff\xc0\x00\x11\x08\x01\x00\x01\x00\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01"
    b"\xff\xda\x00\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0\x55\xff\0\x55\xff\xd0\x55\xff\xd9"
)
_TILES = "https://host/{style}/{TileMatrixSet}/{TileMatrix}/{TileRow}/{TileCol}.jpg"
CAPABILITIES = (
    wmts.capabilities(
        wmts.layer("ortho", address=_TILES), grids=[("grid", "EPSG:3857", wmts.matrices([0, 9]))]
    ),
    wmts.capabilities(wmts.layer("ortho"), grids=[("grid", "EPSG:3857", wmts.matrices([7], size=512))]),
)
BASE_SECTORS = (SectorBoundary("north", SectorClassification.ACTIVE_CONFLICT, Bbox(1.0, 2.0, 3.0, 4.5)),)
BASE_HEADER = ArchiveHeader(
    root_length=25,
    metadata_offset=16_384 + 1000 + 50,
    metadata_length=80,
    leaves_offset=16_384 + 1000,
    leaves_length=50,
    data_length=1000,
    tiles=9,
    entries=8,
    contents=7,
    min_zoom=3,
    max_zoom=17,
    bounds_e7=(-10, -20, 30, 40),
)
KML = (
    b'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>north</name>'
    b'<ExtendedData><Data name="classification"><value>stable_rear</value></Data></ExtendedData><Polygon>'
    b"<outerBoundaryIs><LinearRing><coordinates>1,2,0 3,2,0 3,4,0 1,2,0</coordinates></LinearRing>"
    b"</outerBoundaryIs></Polygon></Placemark></Document></kml>"
)
GPX = (
    b'<gpx version="1.1"><rte><rtept lat="48" lon="11"><time>2026-06-01T08:00:00Z</time></rtept>'
    b'<rtept lat="49" lon="11"><time>2026-06-01T09:00:00Z</time></rtept></rte></gpx>'
)
WAYPOINTS = (
    b"QGC WPL 110\n0\t1\t0\t16\t0\t0\t0\t0\t48.0\t11.0\t500\t1\n"
    b"1\t0\t3\t16\t0\t0\t0\t0\t48.5\t11.5\t100\t1\n2\t0\t3\t20\t0\t0\t0\t0\t0\t0\t0\t1\n"
)
PLAN = {
    "fileType": "Plan",
    "mission": {
        "plannedHomePosition": [48.0, 11.0, 500],
        "cruiseSpeed": 20,
        "items": [
            {"type": "SimpleItem", "command": 16, "frame": 3, "params": [0, 0, 0, None, 48.5, 11.5, 100]},
            {
                "type": "ComplexItem",
                "complexItemType": "survey",
                "TransectStyleComplexItem": {"VisualTransectPoints": [[48.6, 11.6], [48.7, 11.6]]},
            },
        ],
    },
}
DATASET = Dataset(
    name="ortho-2024",
    licence="CC-BY-4.0",
    attribution="Survey Office",
    may_be_stored_offline=True,
    source="ortho.tif",
    source_sha256="ef" * 32,
    digest_of=DigestOf.FILE,
    captured_at=NOON,
    captured_from="by hand",
)
CAPTURE_DATES = b"z,x,y,captured_at\n3,1,2,2024-05-01\n22,4194303,0,2024-05-01T01:30:00+01:30\n"
STAC_ITEM = (
    b'{"type": "Feature", "stac_version": "1.0.0", "id": "S2A_1", "properties": {"datetime": null,'
    b' "start_datetime": "2024-05-01T00:00:00Z", "end_datetime": "2024-06-01T00:00:00Z"}}'
)
SECTORS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"sector_id": "north", "classification": "active_conflict"},
            "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]]},
        },
        {
            "type": "Feature",
            "properties": {"sector_id": "south", "classification": "stable_rear"},
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[[-180, -9.5], [180, -9.5], [180, -5e-1], [-180, -0.5], [-180, -9.5]]]],
            },
        },
    ],
}
CONFIGURATION = b"""
root = "data"
[database]
dsn = "postgresql://flight:secret@db.example/tiles"
connect_timeout_s = 2.5
[budget]
max_bytes = "64 GiB"
[index]
metric = "l2"
warm_up = false
[upload]
url = "https://provider.example"
max_batch_bytes = 1_000_000
"""


def sent(x: int) -> TileToSend:
    """A tile on its way to the provider."""
    pixels = example_jpeg(bytes([x]) * 20)
    metadata = example_metadata(
        TileId(22, x, 7, TileSource.ONBOARD, FLIGHT), pixels, captured_at=NOON, ground_sample_distance=0.037
    )
    return TileToSend(TileMetadataPersistent.of(metadata, created_at=NOON), MemoryTilePixelHandle.of(pixels))


BATCH = UploadBatch(UUID(int=3), (sent(0), sent(1)))
BATCH_BODY = b"".join(frames(BATCH))


def answer() -> bytes:
    """What a good provider says to `BATCH`."""
    first, second = BATCH.tiles
    results = [
        {
            "tile_uuid": str(first.metadata.tile_uuid),
            "outcome": "accepted",
            "stored_sha256": first.metadata.content_sha256,
        },
        {
            "tile_uuid": str(second.metadata.tile_uuid),
            "outcome": "rejected",
            "reason": {"code": "too_blurred", "detail": "a reason"},
        },
    ]
    return json.dumps({"results": results}).encode()


def votes() -> bytes:
    """A page of votes."""
    listed = [{"tile_uuid": str(FLIGHT), "verdict": "trusted", "reason": "seen from above"}]
    return json.dumps({"votes": listed, "next": "17"}).encode()


def metadata() -> bytes:
    """What lies beside an index."""
    return encode_metadata(
        IndexMetadata(
            dimension=8,
            count=30,
            params=HnswParams(),
            storage=VectorStorage.FLOAT16,
            descriptor_model="a-network",
            faiss_version="1.15.1",
            sha256="ab" * 32,
            built_at=NOON,
            variants=VariantTable((FLIGHT,)),
        ),
        FileDigests(("cd" * 32, "ef" * 32), 4 << 20, "ab" * 32),
    )


def lines() -> bytes:
    """Two lines of a flight record."""
    events = [FlightEvent(EventKind.WRITE, "committed", {"number": n, "text": "Ünïcode\n"}) for n in range(2)]
    return b"".join(encode_line(RecordEnvelope.of(event, wall_time=NOON, monotonic_ns=5)) for event in events)


def copy_stream() -> bytes:
    """A binary COPY of two rows, as PostgreSQL sends it."""
    common = [struct.pack(">q", 1), struct.pack(">q", 2), struct.pack(">q", 3), b"\1"]
    ends = [b"pending", b"\0", b"\1", b"ab" * 32]
    rows = [
        [b"\0\x05", struct.pack(">i", 3), struct.pack(">i", 9), b"onboard", FLIGHT.bytes, *common, *ends],
        [b"\0\x16", struct.pack(">i", 7), struct.pack(">i", 8), b"imported", None, *common, None, *ends[1:]],
    ]
    encoded = b"".join(
        struct.pack(">h", len(row))
        + b"".join(
            struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field for field in row
        )
        for row in rows
    )
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + encoded + b"\xff\xff"


def progress() -> bytes:
    """What an interrupted check leaves."""
    finding = {
        "kind": "content_damaged",
        "tile": "imported/5/16/10",
        "detail": "SHA-256 is wrong",
        "mended": False,
        "fetch_again": False,
        "remedy": "ingest it again",
    }
    return json.dumps({"store_id": str(FLIGHT), "place": 1 << 40, "findings": [finding]}).encode()


def descriptors(*, compressed: bool) -> bytes:
    """What `aerotile index build` reads."""
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, tiles=np.array(["imported/5/16/10"]), descriptors=np.ones((1, 4), np.float32))
    return stream.getvalue()


def query() -> bytes:
    """What `aerotile search` reads."""
    stream = io.BytesIO()
    np.save(stream, np.ones(4, np.float32))
    return stream.getvalue()


@cache
def index_file() -> bytes:
    """A whole index of 30 tiles."""
    from aerotile.adapters.faiss import FaissDescriptorIndex

    tiles = [TileId(18, x, 7, TileSource.IMPORTED) for x in range(30)]
    vectors = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        index = FaissDescriptorIndex(Path(folder), params=HnswParams(m=2, ef_construction=10))
        index.rebuild(tiles, vectors, descriptor_model="a-network", built_at=NOON)
        return (Path(folder) / "generations" / "000001" / "tiles.index").read_bytes()


@cache
def base_one_file() -> bytes:
    """A base of four tiles, as `aerotile base export --file` writes it."""
    from aerotile.adapters.sealed_base.generations import BaseGenerations
    from aerotile.adapters.sealed_base.one_file import export_file

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "base"
        seal(root, square(2))
        export_file(BaseGenerations(root), "000001", Path(folder) / "base.tar", NOBODY)
        return (Path(folder) / "base.tar").read_bytes()


def base_manifest() -> bytes:
    return BaseManifest(
        generation=7,
        boxes=(Bbox(1.0, 2.0, 3.0, 4.5),),
        zooms=(15, 16),
        prefer=("imported",),
        tiles=9,
        contents=7,
        latest_capture_us=1_777_636_800_000_000,
        left_out={"another zoom": 3},
        variants=VariantTable((FLIGHT,)),
        datasets=(SealedDataset(DATASET, 5),),
        default_classification="stable_rear",
        aerotile="0.1.0",
        recall_number=3,
        first_keys_sha256="cd" * 32,
        files={name: SealedFile(936, 53_248, "ab" * 32) for name in FILES + INDEX_FILES},
        index=SealedIndex(
            descriptor_model="net",
            descriptors=12,
            tiles=9,
            dropped=3,
            built_by="faiss 1.15.1 AVX2",
            metadata_sha256="ab" * 32,
        ),
    ).encode()


def key_list() -> bytes:
    return KeyList(number=7, public_keys=("ab" * 32, "01" * 32), threshold=2).encode()


def recall_list() -> bytes:
    return encode_list(
        RecallList(
            number=7,
            reason="wrong ground",
            digests=["ab" * 32],
            captured=(CaptureRange(NOON, NOON),),
            areas=(Area([Bbox(1.0, 2.0, 3.0, 4.5), Polygon([[(0.1, 0.2), (3.0, 0.2), (0.1, 4.0)]])], [15]),),
        )
    )
