"""The blocks of the pages, run word for word: programs, commands and what they print."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from affine import Affine
from archives import Place, picture, write_by_gdal, write_mbtiles, write_pmtiles
from cli_calls import Call
from rasters import slopes, write_raster
from small_networks import SmallNetwork
from tile_server import Behaviour, TileServer
from wmts import capabilities, layer

from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, column_and_row

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Run = Callable[..., str]
SCRIPTS = sysconfig.get_path("scripts")

NOT_RUN = {
    "make demo": "the demo and the test suite themselves, run before each merge",
    "make unit": "the test suite itself",
    "make bench": "benchmarks",
    "pip install '.[embedded]' pillow": "installs from a registry; test_wheel.py installs the wheel",
    "aerotile base keygen release.key": "needs a stick; test_cli_base.py runs each of its commands",
    "aerotile base seal --bbox 11.4,48.0,11.8,48.3": "the same commands, shorter",
    'aerotile base keys make keys-2.json --number 2 --threshold 1 --key "$(cat new.key.pub)"': (
        "needs an aircraft; test_cli_base_keys.py runs each of its commands"
    ),
    "aerotile base keygen recall.key": "needs an aircraft; test_cli_recall.py runs each of its commands",
    'aerotile recall make withdrawn-7.json --number 7 --reason "wrong ground" --bbox 11.4,48.0,11.8,48.3': (
        "the same commands, shorter"
    ),
    "pip install 'aerotile[onnx]'": "installs from a registry; test_cli_describe.py runs the other commands",
    "pip install 'aerotile[ground,imagery,onnx]'": (
        "installs, and needs the imagery of a theatre; test_cli_build.py runs the other commands"
    ),
    "dask scheduler --host 10.0.0.1": "needs a cluster; test_kills_of_builds.py begins one",
    "aerotile ready --route route.gpx --corridor 5km --zoom 15-17 --at 2026-06-01T08:00:00Z --speed 25m/s": (
        "needs an operator's route; test_cli_ready.py draws some"
    ),
    "aerotile record --mcap flight.mcap --sectors sectors.geojson --layout layout.json": (
        "needs a flight; test_cli_store.py exports one"
    ),
    "aerotile record --lookup 17": "needs a flight; test_cli_replay.py flies one and runs both commands",
    'pip install "aerotile[serve]"': "installs, and serves until stopped; test_cli_serve.py runs it",
    'pip install "aerotile[provider]"': "installs, and serves until stopped; test_cli_provider.py runs it",
}
"""The first command of each block that no test runs word for word, with the reason."""
DATASETS = 'aerotile datasets define ortho-2024 --licence CC-BY-4.0 --attribution "Survey Office" \\'
RUN = {
    "python small_base.py": "ten-minutes.md",
    'aerotile ingest tiles/ --captured-at "$(date -u +%F)"': "ten-minutes.md",
    "python first_flight.py frames.npy": "ten-minutes.md",
    "aerotile migrate": "operations.md, before the flight",
    DATASETS: "operations.md, datasets",
    "aerotile upload --dry-run": "operations.md, after the flight",
    "aerotile provision ortho.mbtiles --zoom 14-17 --estimate": "imagery.md",
    "aerotile provision 'https://host/{z}/{x}/{y}.jpg' \\": "imagery.md, servers",
    "aerotile export for-a-colleague.mbtiles --zoom 14-17 --dates dates.csv": "imagery.md",
}
"""The first command of each block that a test below runs."""
PLACEHOLDER = "aerotile uploads requeue TILE"
"""The one command of a block that is no command as it stands."""


def blocks_of(name: str) -> Iterator[tuple[str, str]]:
    yield from BLOCK.findall((REPOSITORY / "docs" / name).read_text("utf-8"))


def first_command(block: str) -> str:
    return block.splitlines()[0].partition("  #")[0].strip()


def run_block(block: str, folder: Path, environment: dict[str, str]) -> str:
    """Run commands as a shell does and return what they print; the first failure ends the block."""
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={**environment, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, f"{block}\n{finished.stdout}{finished.stderr}"
    return finished.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def lay_out_tiles(folder: Path) -> Path:
    """The folder of tiles that the pages name, and its one tile."""
    from PIL import Image

    column = folder / "tiles" / "7" / "60"
    column.mkdir(parents=True)
    Image.new("RGB", (256, 256), (9, 77, 99)).save(column / "0.jpg")
    return column / "0.jpg"


def lay_out_imagery(folder: Path) -> None:
    """The sources and the route that the pages name."""
    tiles: dict[Place, bytes] = {}
    for zoom in (14, 15, 16, 17):
        x, y = column_and_row(48.1, 11.6, zoom)
        tiles |= {(zoom, x, y): picture(zoom), (zoom, x + 1, y): picture(zoom + 40)}
    write_mbtiles(folder / "ortho.mbtiles", tiles)
    write_pmtiles(folder / "new.pmtiles", dict(list(tiles.items())[:3]))
    write_by_gdal(folder / "old.gpkg", "GPKG", TILE_FORMAT="JPEG", TILING_SCHEME="GoogleMapsCompatible")
    pixel = EARTH_CIRCUMFERENCE_M / (256 << 17)
    east, south = (4 * 256 * pixel * (place - (1 << 14)) for place in column_and_row(48.1, 11.9, 15))
    write_raster(
        folder / "ortho.tif", slopes(1024, 1024), "EPSG:3857", Affine(pixel, 0.0, east, 0.0, -pixel, -south)
    )
    line = "<LineString><coordinates>11.60,48.10 11.62,48.10</coordinates></LineString>"
    (folder / "key").write_text("a-token\n")
    (folder / "route.kml").write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark>{line}</Placemark></Document></kml>'
    )


def test_every_block_of_commands_is_run_or_has_its_reason() -> None:
    found = {
        first_command(block)
        for page in PAGES
        for language, block in BLOCK.findall(page.read_text("utf-8"))
        if language == "sh"
    }
    assert found == set(NOT_RUN) | set(RUN)


def test_ten_minutes_lead_to_a_flight(folder: Path, spawn_environment: dict[str, str]) -> None:
    page = (REPOSITORY / "docs" / "ten-minutes.md").read_text("utf-8")
    programs = re.findall(r"^as `(\w+\.py)`|^Save this as `(\w+\.py)`", page, re.MULTILINE)
    names = iter([one or other for one, other in programs])
    printed = ""
    ran = []
    for language, block in blocks_of("ten-minutes.md"):
        if language == "python":
            (folder / next(names)).write_text(block, "utf-8")
        elif language == "sh" and first_command(block) not in NOT_RUN:
            printed = run_block(block, folder, spawn_environment)
            ran.append(first_command(block))
        elif language == "text":
            assert printed == block
    assert sorted(path.name for path in folder.glob("*.py")) == ["first_flight.py", "small_base.py"]
    assert ran == [command for command, page in RUN.items() if page == "ten-minutes.md"]


@pytest.fixture(
    params=[
        "in one process",
        pytest.param(
            "in a shell",
            marks=pytest.mark.slow(reason="starts two dozen programs, whose commands run in one process too"),
        ),
    ]
)
def run(
    request: pytest.FixtureRequest,
    call: Call,
    folder: Path,
    spawn_environment: dict[str, str],
    migrated_database: str,
) -> Run:
    """Run the commands of a block, each of which has to succeed, and return what they print."""

    def in_shell(block: str, **environment: str) -> str:
        database = {"AEROTILE_DATABASE_DSN": migrated_database}
        return run_block(block, folder, spawn_environment | database | environment)

    def in_process(block: str, **environment: str) -> str:
        printed = ""
        for line in block.replace("\\\n", "").splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "aerotile"
            result = call(*arguments, **environment)
            assert result.code == 0, f"{line}\n{result.out}{result.err}"
            printed += result.out
        return printed

    return in_shell if request.param == "in a shell" else in_process


def test_the_commands_before_a_flight_run(folder: Path, run: Run) -> None:
    lay_out_tiles(folder)
    lay_out_imagery(folder)
    SmallNetwork.drawn(1).save(folder / "network.onnx")
    rear = {
        "type": "Feature",
        "properties": {"sector_id": "north", "classification": "stable_rear"},
        "geometry": {"type": "Polygon", "coordinates": [[[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]]},
    }
    (folder / "sectors.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [rear]}))
    assert run(operations()["aerotile migrate"])


def test_the_commands_of_imagery_run(folder: Path, run: Run) -> None:
    lay_out_tiles(folder)
    lay_out_imagery(folder)
    tiles = capabilities(layer("ortho", address="{TileMatrix}/{TileRow}/{TileCol}.jpg"))
    pictures = Behaviour(body=lambda path: tiles if path.endswith(".xml") else picture(len(path)))
    with TileServer(pictures) as server:
        for _, block in blocks_of("imagery.md"):
            assert run(block.replace("https://host", server.address))
        assert server.served["/wmts/Capabilities.xml"] == 1


def test_the_commands_of_datasets_and_after_a_flight_run(
    folder: Path, run: Run, spawn_environment: dict[str, str], migrated_database: str
) -> None:
    from aerotile.adapters.config.secret import Secret
    from aerotile.adapters.provider.server import ReferenceProvider

    tile = lay_out_tiles(folder)
    blocks = operations()
    listed = run(blocks[DATASETS]).splitlines()
    assert [line.split()[:3] for line in listed if line.startswith("ortho-2024")] == [
        ["ortho-2024", "1", "yes"]
    ]

    written = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / "write.py", tile, "48.1", "11.6"],
        cwd=folder,
        env=spawn_environment | {"AEROTILE_DATABASE_DSN": migrated_database},
    )
    assert written.returncode == 0
    token = uuid.uuid4().hex
    with ReferenceProvider(folder / "provider", Secret(token)) as provider:
        after = blocks["aerotile upload --dry-run"]
        assert PLACEHOLDER in after
        commands = "".join(line for line in after.splitlines(True) if not line.startswith(PLACEHOLDER))
        assert run(commands, AEROTILE_UPLOAD_URL=provider.url, AEROTILE_UPLOAD_TOKEN=token)


def operations() -> dict[str, str]:
    return {first_command(block): block for _, block in blocks_of("operations.md")}


def test_the_programs_of_ten_minutes_are_examples() -> None:
    shown = [block for language, block in blocks_of("ten-minutes.md") if language == "python"]
    examples = [REPOSITORY / "examples" / name for name in ("small_base.py", "first_flight.py")]
    assert shown == [path.read_text("utf-8") for path in examples]
