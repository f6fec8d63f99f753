"""The demo's pre-flight, by the commands of an operator: from a raster and a route to a go."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.values.tile_grid import GridRange, ground_sample_distance
from ...domain.values.tiles import TileId, TileMetadata, TileSource
from ..composition import Runtime
from ..config.settings import AerotileConfig
from ..descriptor_models.gradient_vlad import GradientVlad
from ..files.atomic_file import atomic_file
from ..sealed_base.manifest import SealedIndex
from .imagery import BlueMarble, Pixels, decode_tile, encode_tile
from .materials import AREA, RASTER, ROUTE, SECTORS
from .mission import Mission

BASE_AGE = timedelta(days=30)
ROOT, NETWORK, KEY, SETTINGS = "base", "descriptor.npz", "release.key", "aerotile.toml"
_DATASET = "blue-marble"
_SPEED = "250m/s"
_DONE, _NO_GO = 0, 1

ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""`with bar("label") as advance: advance(done, total)`."""

RunCommand = Callable[[Sequence[str], bool], int]
"""Run `aerotile` with these arguments, with or without its output, and give its exit code."""


@attrs.frozen(kw_only=True)
class PreparedBase:
    """The sealed base that the flight takes along, in use and signed, and how long each part took."""

    network: Path
    """The file of the descriptor that was learned."""
    public_key: str
    tile_ids: tuple[TileId, ...]
    store_bytes: int
    """What the store's tiles take on the disk."""
    sealed_bytes: int
    """What both generations take."""
    sealed_tiles: int
    index: SealedIndex | None
    holes: int
    """Tiles that the first `aerotile ready` found missing."""
    seconds: dict[str, float]
    """By what was done."""


@attrs.define(kw_only=True)
class Preparation:
    """One preparation in `folder`, in which the raster and the drawings lie."""

    folder: Path
    mission: Mission
    run: RunCommand
    say: Callable[[str], None]
    bar: ProgressBar
    _seconds: dict[str, float] = attrs.field(factory=dict, init=False)

    def prepare(self) -> PreparedBase:
        """Run every command of the operator. Raises `StoreUnavailableError` for one that ends otherwise."""
        with _alone_in(self.folder):
            holes = self._run_commands()
        config = AerotileConfig(root=self.folder / ROOT)
        with Runtime(config) as runtime:
            wanted = self._tile_ids()
            sealed = runtime.base_generations.manifest("000002", runtime.base_trust).manifest
            if sealed.tiles != len(wanted):
                raise StoreUnavailableError(f"the base has {sealed.tiles} tiles, {len(wanted)} were wanted")
            return PreparedBase(
                network=self.folder / NETWORK,
                public_key=self._public_key(self.folder),
                tile_ids=wanted,
                store_bytes=runtime.rows.disk_usage().footprint_bytes,
                sealed_bytes=runtime.base_generations.total_bytes(),
                sealed_tiles=sealed.tiles,
                index=sealed.index,
                holes=holes,
                seconds=self._seconds,
            )

    def _run_commands(self) -> int:
        self._write_settings()
        captured_on = (datetime.now().astimezone() - BASE_AGE).date().isoformat()
        zooms = f"{min(self.mission.overview_zooms)}-{self.mission.search_zoom}"
        zoom, corridor = str(self.mission.search_zoom), f"{self.mission.corridor_km}km"
        provision = ("provision", RASTER, "--dataset", _DATASET, "--enlarge")
        along = ("--area", ROUTE, "--corridor", corridor)
        ready = ("ready", "--route", ROUTE, "--corridor", corridor, "--zoom", zoom, "--speed", _SPEED)

        self.say(
            "\n1. The raster becomes tiles of a dataset. The area has a hole, which is left on purpose.\n"
        )
        with self._timed("provision"):
            self._run("migrate")
            self._run("sectors", "load", SECTORS)
            self._run(
                *("datasets", "define", _DATASET, "--licence", "public domain"),
                *("--attribution", "NASA Blue Marble", "--may-be-stored-offline", "yes"),
                *("--source", RASTER, "--captured-at", captured_on),
            )
            self._run(*provision, "--area", AREA, "--zoom", zooms, "--map", "coverage.png", shown=True)
        with self._timed("learn"):
            self._learn()

        self.say("\n2. Those along the route are described and indexed, all are sealed and signed.\n")
        self._run("base", "keygen", KEY)
        pinned = f'public_keys = ["{self._public_key(Path())}"]'
        network = ("[descriptor]", f'model = "{NETWORK}"')
        self._write_settings(*network, "[base]", pinned)
        self.say(f"({SETTINGS} pins the public key now, and names the descriptor)")
        # The flight needs all tiles described; the answer of `ready` only those along the route.
        self._release("1", *along)
        self._write_settings(*network, "[base]", pinned, "layered = true")
        self.say(f"({SETTINGS} has `layered = true` now: the base lies in front of the store)")

        self.say("\n3. Is the base ready for the route? The answer must be no: the hole lies on it.\n")
        with self._timed("ready"):
            self._run(*ready, "--map", "no-go.png", shown=True, ends=_NO_GO)
            holes = self._missing()

        self.say("\n4. The command in the answer mends the hole; then all is described and sealed anew.\n")
        with self._timed("provision"):
            self._run(*provision, *along, "--zoom", zoom, "--missing-only", shown=True)
        self._release("2")

        self.say("\n5. And now?\n")
        with self._timed("ready"):
            self._run(*ready, "--map", "go.png", shown=True)
        return holes

    def _release(self, number: str, *described_area: str) -> None:
        """Describe and index tiles, all or those of an area, and put a new generation to use."""
        descriptors, generation = f"descriptors-{number}.npz", number.zfill(6)
        with self._timed("describe"):
            zoom = str(self.mission.search_zoom)
            self._run("describe", descriptors, *described_area, "--zoom", zoom, shown=True)
        with self._timed("index"):
            self._run("index", "build", descriptors)
        with self._timed("seal"):
            self._run("base", "seal")
            self._run("base", "sign", generation, "--key", KEY)
            self._run("base", "switch")
            self._run("base", "verify", shown=True)

    def _run(self, *arguments: str, shown: bool = False, ends: int = _DONE) -> None:
        code = self.run(arguments, shown)
        if code != ends:
            raise StoreUnavailableError(
                f"aerotile {arguments[0]} ended with exit code {code}, expected {ends}",
                remedy="its own error stands above",
            )

    def _missing(self) -> int:
        """Tiles that were wanted and are not in the store."""
        with Runtime(AerotileConfig(root=Path(ROOT))) as runtime:
            return sum(not runtime.tile_store.tile_exists(tile_id) for tile_id in self._tile_ids())

    def _learn(self) -> None:
        """Learn the descriptor from the tiles; it stands where the flight stack's own network would."""
        with Runtime(AerotileConfig(root=Path(ROOT))) as runtime:
            store = runtime.tile_store
            searchable = [one for one in self._tile_ids() if one.zoom_level == self.mission.search_zoom]
            images = [_read_back(runtime, one) for one in searchable if store.tile_exists(one)]
        with self.bar("Learning the descriptor") as advance:
            GradientVlad.fit(images, progress=advance).save(Path(NETWORK))
        self.say(f"(a descriptor was learned from {len(images)} of these tiles: {NETWORK})")

    def _tile_ids(self) -> tuple[TileId, ...]:
        zooms = (*self.mission.overview_zooms, self.mission.search_zoom)
        return tuple(
            TileId(zoom, x, y, TileSource.IMPORTED)
            for zoom in zooms
            for x, y in GridRange.covering(self.mission.area, zoom)
        )

    def _write_settings(self, *lines: str) -> None:
        with atomic_file(SETTINGS, 0o644, durable=False) as file:
            file.write("\n".join([f'root = "{ROOT}"', *lines, ""]).encode())

    def _public_key(self, folder: Path) -> str:
        return (folder / f"{KEY}.pub").read_text(encoding="utf-8").strip()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds[what] = self._seconds.get(what, 0.0) + time.perf_counter() - started


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """In this folder, and without variables that would name the store of somebody else."""
    before = Path.cwd()
    variables = {name: value for name, value in os.environ.items() if name.startswith("AEROTILE_")}
    for name in variables:
        del os.environ[name]
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.update(variables)


def cut_tile(imagery: BlueMarble, tile_id: TileId, captured_at: datetime) -> tuple[bytes, TileMetadata]:
    """A tile of the source raster as JPEG, with its metadata."""
    pixels = encode_tile(imagery.cut_tile(tile_id.zoom_level, tile_id.x, tile_id.y))
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=ground_sample_distance(tile_id.centre[0], tile_id.zoom_level),
    )
    return pixels, metadata


def _read_back(runtime: Runtime, tile_id: TileId) -> Pixels:
    with runtime.tile_store.read_tile_pixels(tile_id) as handle:
        return decode_tile(bytes(memoryview(handle)))
