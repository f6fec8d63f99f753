"""Every parser of outside bytes in one table: good inputs, what means something to it, how it may refuse."""

from __future__ import annotations

import json

import fuzz_samples as samples
import numpy as np
from fuzz_targets import (
    Parser,
    arguments,
    capabilities,
    checked_line,
    copy,
    environment,
    folder_note,
    frames,
    identity,
    in_file,
    jpeg,
    of_text,
    provider_answers,
    record,
    server_state,
    sidecar,
    tile_keys,
)
from sealed_bases import NOBODY

from aerotile.adapters.cli.base_verify_progress import BaseVerifyProgress
from aerotile.adapters.cli.errors import BadInputError
from aerotile.adapters.cli.verify_progress import VerifyProgress
from aerotile.adapters.config.loader import DEFAULT_FILE, read_config
from aerotile.adapters.faiss.generations import IndexGenerations
from aerotile.adapters.faiss.index_layout import IndexLayoutError, check_layout
from aerotile.adapters.faiss.metadata_file import decode_metadata
from aerotile.adapters.filesystem.identity_file import IDENTITY_NAME
from aerotile.adapters.http.protocol import GarbledAnswerError, read_votes
from aerotile.adapters.input_files.capture_dates import (
    CaptureDateError,
    read_dates_by_place,
    read_stac_date,
)
from aerotile.adapters.input_files.descriptor_files import read_described_tiles, read_query
from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.routes.read_drawing import read_drawing
from aerotile.adapters.input_files.sector_files import read_sectors
from aerotile.adapters.pmtiles.archive_directory import ArchiveError, decode_directory, gzip_stored
from aerotile.adapters.pmtiles.archive_header import decode_header
from aerotile.adapters.postgres.address import DatabaseAddress
from aerotile.adapters.postgres.tile_feed import read_notice
from aerotile.adapters.provider.behaviour import read_behaviour
from aerotile.adapters.provider.frames import MalformedBatchError, TooManyTilesError
from aerotile.adapters.recall_lists.list_format import decode_list
from aerotile.adapters.recorder.line_format import decode_line
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.key_list import decode_key_list
from aerotile.adapters.sealed_base.manifest import PAYLOAD_TYPE, decode_manifest
from aerotile.adapters.sealed_base.one_file import import_file
from aerotile.adapters.sealed_base.sector_file import decode_sectors, encode_sectors
from aerotile.adapters.signatures import SignatureError, Trust, new_envelope, signers_of
from aerotile.domain.errors import (
    BaseSealError,
    BaseUnavailableError,
    ConfigurationError,
    ImagerySourceError,
    IndexUnavailableError,
    StoreUnavailableError,
    TileMetadataError,
)
from aerotile.domain.values.sectors import SEEDED_RULES
from aerotile.ext import CopyStreamError

_METADATA_REFUSALS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_JSON_WORDS = (
    b"NaN",
    b"1e999",
    b"-0",
    b"null",
    b"[]",
    b"{}",
    b'"\\ud800"',
    b'"\\u0000"',
    b"9" * 400,
    b"[" * 2000,
)

PARSERS = [
    Parser(
        "jpeg",
        jpeg,
        (ValueError,),
        (samples.JPEG,),
        (b"\xff\xc0", b"\xff\xff"),
    ),
    Parser(
        "folder_note",
        folder_note,
        (InputFileError,),
        (
            b'{"scheme": "tms", "bounds": "18.41,-33.93,18.44,-33.9"}',
            b'{"bounds": [170, -20, -170, -10]}',
            b'<TileMap><SRS>EPSG:3857</SRS><BoundingBox minx="2e6" miny="-4e6"'
            b' maxx="3e6" maxy="-3e6"/></TileMap>',
        ),
        (*_JSON_WORDS, b"<!ENTITY a 'b'>", b"1e308", b"-inf", b"nan"),
    ),
    Parser("sidecar", sidecar, (ValueError,), (b"ab" * 32 + b"  7.jpg\n", b"ab" * 32 + b" *7.jpg\n")),
    Parser(
        "index_metadata",
        lambda content, _: decode_metadata(content),
        _METADATA_REFUSALS,
        (samples.metadata(),),
        _JSON_WORDS,
    ),
    Parser(
        "index_file",
        lambda content, _: check_layout(content),
        (IndexLayoutError,),
        (samples.index_file(),),
        (b"\xff" * 8, b"\0" * 8, b"IHNf"),
    ),
    Parser(
        "base_manifest",
        lambda content, _: decode_manifest(content),
        (ValueError,),
        (samples.base_manifest(),),
        _JSON_WORDS,
    ),
    Parser(
        "recall_list",
        lambda content, _: decode_list(content),
        (ValueError,),
        (samples.recall_list(),),
        _JSON_WORDS,
    ),
    Parser(
        "key_list",
        lambda content, _: decode_key_list(content),
        (ValueError,),
        (samples.key_list(),),
        _JSON_WORDS,
    ),
    Parser(
        "base_envelope",
        lambda content, _: signers_of(content, PAYLOAD_TYPE, Trust(("ab" * 32,), 1)),
        (SignatureError,),
        (new_envelope(samples.base_manifest(), PAYLOAD_TYPE),),
        _JSON_WORDS,
    ),
    Parser(
        "base_sectors",
        lambda content, _: decode_sectors(content),
        (ValueError,),
        (encode_sectors(samples.BASE_SECTORS, SEEDED_RULES),),
        _JSON_WORDS,
    ),
    Parser(
        "archive_directory",
        lambda content, _: decode_directory(gzip_stored(content), 1 << 20),
        (ArchiveError,),
        (bytes([3, 5, 1, 7, 1, 2, 1, 9, 9, 9, 1, 0, 4]),),
        (b"\xff" * 9, b"\x80" * 9),
    ),
    Parser(
        "archive_header",
        lambda content, _: decode_header(content, samples.BASE_HEADER.archive_length),
        (ArchiveError,),
        (samples.BASE_HEADER.encode(),),
        (b"\xff" * 8, b"\0" * 8),
    ),
    Parser(
        "index_pointer",
        in_file("current", lambda path: IndexGenerations(path.parent).current()),
        (IndexUnavailableError,),
        (b"000001\n",),
        (b"../", b"\xc2\xb2"),
    ),
    Parser("record", record, (), (samples.lines(),), _JSON_WORDS),
    Parser(
        "record_line",
        checked_line,
        (),
        (samples.lines().split(b"\n")[0][9:],),
        (*_JSON_WORDS, b"0001-01-01T00:00:00+23:59"),
    ),
    Parser(
        "record_envelope",
        lambda content, _: decode_line(content),
        (ValueError,),
        (samples.lines().split(b"\n")[0],),
    ),
    Parser(
        "geojson",
        in_file("sectors.geojson", read_sectors),
        (InputFileError,),
        (json.dumps(samples.SECTORS).encode(), samples.KML),
        (*_JSON_WORDS, b'"crs":', b"<!DOCTYPE x>", b"&#0;"),
    ),
    Parser(
        "capabilities",
        capabilities,
        (ImagerySourceError,),
        samples.CAPABILITIES,
        (b"<TileMatrix>", b"http://[", b"{y}", b"#", b"&#0;", b"<!DOCTYPE x>", b"-1", b"1e999", b"9" * 5000),
    ),
    Parser(
        "drawing",
        in_file("route", read_drawing),
        (InputFileError,),
        (samples.KML, samples.GPX, samples.WAYPOINTS, json.dumps(samples.PLAN).encode()),
        (*_JSON_WORDS, b"<!DOCTYPE x>", b"&#0;", b"nan", b"1e999", b"9" * 5000),
    ),
    Parser(
        "capture_dates",
        in_file("dates.csv", read_dates_by_place),
        (CaptureDateError,),
        (samples.CAPTURE_DATES,),
        (b"z,x,y,captured_at", b'"', b"\0", b"9999999", b"\n22,4194303,0,", b"\xef\xbb\xbf", b"2024-02-30"),
    ),
    Parser(
        "stac_item",
        in_file("item.json", lambda path: read_stac_date(path).origin),
        (CaptureDateError,),
        (samples.STAC_ITEM,),
        (*_JSON_WORDS, b'"start_datetime":', b'"end_datetime":', b'"id":'),
    ),
    Parser(
        "configuration",
        in_file(DEFAULT_FILE, lambda path: read_config(environment={}, folder=path.parent)),
        (ConfigurationError,),
        (samples.CONFIGURATION,),
        (b"nan", b"1e999", b"9" * 5000, b"~nobody/", b"1979-05-27", b"[[", b"inf"),
    ),
    Parser(
        "environment",
        environment,
        (ConfigurationError,),
        (
            b"ROOT=data\nBUDGET_MAX_BYTES=64 GiB\nINDEX_WARM_UP=no",
            b"READS_DEADLINE_S=1e-3\nLRU_FLUSH_ENTRIES=10",
        ),
        (b"nan", b"inf", b"\xd9\xa3", b"9" * 5000, b"1e999", b"1_0"),
    ),
    Parser(
        "dsn",
        of_text(DatabaseAddress),
        (ConfigurationError,),
        (b"postgresql://flight:secret@db.example:5432/tiles", b"host=/run dbname=x password=' y'"),
        (b"%00", b"%40", b"@", b"'"),
    ),
    Parser("upload_answer", provider_answers, (GarbledAnswerError,), (samples.answer(),), _JSON_WORDS),
    Parser(
        "votes",
        lambda content, _: read_votes(content),
        (GarbledAnswerError,),
        (samples.votes(),),
        _JSON_WORDS,
    ),
    Parser(
        "copy_stream",
        copy,
        (CopyStreamError, TileMetadataError),
        (samples.copy_stream(),),
        (b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"),
    ),
    Parser(
        "notice",
        of_text(read_notice),
        (),
        (b"+5/16/10/imported -22/7/8/onboard/" + str(samples.FLIGHT).encode(),),
        (b"/", b" ", b"~", b"\xd9\xa3"),
    ),
    Parser(
        "tile_keys",
        tile_keys,
        (ValueError, KeyError),
        (np.array([0, 1 << 58, (5 << 58) + 2], np.int64).tobytes(),),
        (b"\xff" * 8,),
    ),
    Parser(
        "verify_progress",
        in_file("verify-progress.json", lambda path: VerifyProgress(path.parent, samples.FLIGHT).resume()),
        (BadInputError,),
        (samples.progress(),),
        _JSON_WORDS,
    ),
    Parser(
        "base_verify_progress",
        in_file(
            "base-verify-progress.json", lambda path: BaseVerifyProgress(path.parent, "ab" * 32).resume()
        ),
        (BadInputError,),
        (
            b'{"manifest_sha256":"'
            + b"ab" * 32
            + b'","parts":3,"findings":[["facts","x"]],"damaged":[[0,5]]}',
        ),
        _JSON_WORDS,
    ),
    Parser(
        "base_one_file",
        in_file("base.tar", lambda path: import_file(BaseGenerations(path.parent / "b"), path, NOBODY)),
        (BaseSealError, BaseUnavailableError),
        (samples.base_one_file(),),
        (b"\0" * 512, b"../../x", b"7777777", b"000008/"),
    ),
    Parser(
        "identity",
        in_file(IDENTITY_NAME, identity),
        (StoreUnavailableError,),
        (str(samples.FLIGHT).encode() + b"\n",),
        (b"urn:uuid:", b"{"),
    ),
    Parser(
        "server_state",
        server_state,
        (StoreUnavailableError, OSError),
        (b'{"boot_id":"a","pid":4711,"start_ticks":5}', b"4711\n/data\n"),
        _JSON_WORDS,
    ),
    Parser(
        "batch",
        frames,
        (MalformedBatchError, TooManyTilesError),
        (samples.BATCH_BODY,),
        (b"\0\0\0\2{}", *_JSON_WORDS),
    ),
    Parser(
        "behaviour",
        in_file("behaviour.json", read_behaviour),
        (ConfigurationError,),
        (b'{"faults":[{"kind":"status","status":503,"every":3}],"verdict":"trusted","max_tiles":5}',),
        _JSON_WORDS,
    ),
    Parser(
        "descriptors",
        in_file("descriptors.npz", read_described_tiles),
        (InputFileError,),
        (samples.descriptors(compressed=False), samples.descriptors(compressed=True)),
        (b"(1, 9999999999, )", b"'descr': '|O'", b"\xff\xff\xff\xff"),
    ),
    Parser(
        "query",
        in_file("query.npy", read_query),
        (InputFileError,),
        (samples.query(),),
        (b"(9999999999,)", b"'descr': '|O'", b"'<f2'"),
    ),
    Parser(
        "arguments",
        of_text(arguments),
        (ConfigurationError,),
        (
            b"2024-05-01T12:00:00Z",
            b"7,50,8.5,51",
            b"20 MiB",
            b"imported/5/16/10",
            b"status,status=503,every=3",
        ),
        (b"9" * 5000, b"nan", b"\xd9\xa3", b"+24:00", b"1e999", b"0001-01-01T00:00:00+23:59"),
    ),
]
