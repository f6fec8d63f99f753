"""P-4 as `aerotile ingest` does it: pictures that decode, in batches that overlap, each decoded once or none.

`bulk` has one call of the port for a whole batch; its tiles have the structure of a JPEG around random
bytes, which no decoder shows. Here the pictures are real ones of about 30 KB, handed over from memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import attrs
import numpy as np
from harness.dataset import metadata_of, tile_id
from harness.operations import Calls, Operation, Unavailable
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import FilledStore, Workshop

from aerotile import TileSource
from aerotile.adapters.simplejpeg.picture_decoder import SimplejpegDecoder
from aerotile.domain.intake.terms import IntakeTerms

from .bulk import BATCH, COLUMNS, open_floor, placed

_QUALITY = 80


@attrs.frozen
class _Offered:
    """A tile in memory, as an `OfferedTile`."""

    name: str
    zoom_level: int
    x: int
    y: int
    pixels: bytes

    @property
    def size(self) -> int:
        return len(self.pixels)

    def read_pixels(self, most_bytes: int) -> bytes:
        return self.pixels[:most_bytes]

    def claimed_sha256(self) -> None:
        return None


@contextmanager
def _pictures(workshop: Workshop) -> Iterator[list[bytes]]:
    try:
        import simplejpeg
    except ImportError as error:
        raise Unavailable("pictures are encoded by simplejpeg, which is not installed") from error
    noise = np.random.default_rng(4)
    ground = noise.integers(0, 256, (32, 32, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    yield [
        simplejpeg.encode_jpeg(
            np.roll(ground, number, axis=1) // 2 + noise.integers(0, 40, (256, 256, 1), np.uint8),
            quality=_QUALITY,
        )
        for number in range(BATCH)
    ]


def _taking_in(decode: bool) -> Any:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        pictures = workshop.shared(_pictures)
        intake: Any = FilledStore.of(
            workshop.config(f"intake {'decoded' if decode else 'plain'}")
        ).runtime.part("tile_intake")
        captured_at = metadata_of(tile_id(0), pictures[0]).captured_at
        batches = count()

        def next_batch() -> tuple[list[_Offered]]:
            first = next(batches) * BATCH
            places = (tile_id(first + n, COLUMNS) for n in range(BATCH))
            return (
                [
                    _Offered(str(place), place.zoom_level, place.x, place.y, pixels)
                    for place, pixels in zip(places, pictures, strict=True)
                ],
            )

        terms = IntakeTerms(source=TileSource.SATELLITE_PROVIDER, captured_at=captured_at)

        def take_in(tiles: list[_Offered]) -> None:
            report = intake.take_in(tiles, terms, decode=decode)
            if report.stored != BATCH:
                raise RuntimeError(f"{report.stored} of {BATCH} tiles were stored: {report.refusals[:1]}")

        yield Calls(call=take_in, arguments=next_batch)

    return opened


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Operation]:
    tiles = [(pixels, metadata_of(tile_id(0), pixels)) for pixels in workshop.shared(_pictures)]
    batches = count()

    def next_batch() -> tuple[list[Any]]:
        return (placed(tiles, next(batches) * BATCH),)

    with open_floor(workshop, "intake-floor") as ingest:
        yield Calls(call=ingest, arguments=next_batch)


@contextmanager
def _decoding(workshop: Workshop) -> Iterator[Operation]:
    pictures = workshop.shared(_pictures)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decode = SimplejpegDecoder().decode
        yield Calls(call=lambda: list(pool.map(decode, pictures)), arguments=lambda: ())


INTAKE = MeasuredPath(
    id="P-4 decoded",
    items=BATCH,
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_taking_in(True)),
        Subject(
            name="C syncfs, 4 threads + COPY",
            role=Role.FLOOR,
            open=_floor,
            note="sha256 included, folder by folder; no gate, sidecar, outcome or decoding; then rows",
        ),
        Subject(
            name="Aerotile, --no-decode",
            role=Role.REFERENCE,
            open=_taking_in(False),
            note="the same intake, no picture is decoded",
        ),
        Subject(
            name="part: decoding",
            role=Role.REFERENCE,
            open=_decoding,
            note="the pictures of one batch, on the threads of the intake; nothing is written",
        ),
    ),
    full=Effort(blocks=6, rounds=1),
    quick=Effort(blocks=3, rounds=1),
)
