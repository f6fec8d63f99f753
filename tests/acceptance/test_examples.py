"""Every program in examples/ runs as its first line says, over one store with an embedded PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import attrs
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("examples")  # one store, or one cache, for all of them
EXAMPLES = Path(__file__).parents[2] / "examples"
ZOOM, X, COUNT, DIMENSION = 7, 60, 4, 16

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@attrs.frozen
class Mission:
    """A store that ingest.py filled, its index, and what the other examples are given."""

    run: Run
    today: str
    """The capture date of its tiles. It may be yesterday by the end of the tests."""
    ingested: subprocess.CompletedProcess[str]
    folder: Path

    @property
    def tile(self) -> Path:
        return self.folder / "tiles" / str(ZOOM) / str(X) / "0.jpg"

    def days_old(self) -> int:
        """The age of its tiles."""
        captured_at = datetime.fromisoformat(self.today).replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - captured_at).days

    def saved(self, name: str, array: np.ndarray) -> Path:
        path = self.folder / name
        np.save(path, array)
        return path


@pytest.fixture(scope="module")
def descriptors() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(COUNT, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def mission(
    tmp_path_factory: pytest.TempPathFactory, spawn_environment: dict[str, str], descriptors: np.ndarray
) -> Iterator[Mission]:
    from PIL import Image

    from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

    folder = tmp_path_factory.mktemp("mission")
    column = folder / "tiles" / str(ZOOM) / str(X)
    column.mkdir(parents=True)
    for y in range(COUNT):
        Image.new("RGB", (256, 256), (y, 77, 99)).save(column / f"{y}.jpg")
    tiles = [f"imported/{ZOOM}/{X}/{y}" for y in range(COUNT)]
    np.savez(folder / "descriptors.npz", tiles=tiles, descriptors=descriptors)

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**spawn_environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    # The examples find this server by its folder and leave it running: one start for all of them.
    with EmbeddedPostgres(folder / "aerotile-data" / "postgres") as server:
        assert server.dsn
        today = datetime.now(timezone.utc).date().isoformat()
        ingested = run(EXAMPLES / "ingest.py", "tiles", today)
        index = ("-m", "aerotile.adapters.cli", "index", "build", "descriptors.npz", "--model", "a-network")
        run(*index).check_returncode()
        yield Mission(run, today, ingested, folder)


def test_ingest_stores_a_folder_and_the_second_time_finds_it_there(mission: Mission) -> None:
    assert mission.ingested.stdout == f"{COUNT} stored, 0 there already, 0 refused\n"
    again = mission.run(EXAMPLES / "ingest.py", "tiles", mission.today)
    assert (again.returncode, again.stdout) == (0, f"0 stored, {COUNT} there already, 0 refused\n")


def test_ingest_says_what_was_refused_and_fails(mission: Mission) -> None:
    column = mission.folder / "bad" / "7" / "61"
    column.mkdir(parents=True)
    (column / "0.jpg").write_bytes(b"no picture")
    finished = mission.run(EXAMPLES / "ingest.py", "bad", mission.today)
    assert (finished.returncode, finished.stdout) == (1, "0 stored, 0 there already, 1 refused\n")
    assert "JPEG" in finished.stderr


def test_search_names_the_tile_whose_descriptor_it_is_given(
    mission: Mission, descriptors: np.ndarray
) -> None:
    finished = mission.run(EXAMPLES / "search.py", mission.saved("query.npy", descriptors[2]))
    lines = finished.stdout.splitlines()
    assert finished.returncode == 0, finished.stderr
    assert lines[0] == f"{COUNT} descriptors of {DIMENSION} numbers, made by a-network"
    assert lines[1].startswith(f"imported/{ZOOM}/{X}/2  distance 0.00")
    assert lines[-1].endswith("tiles within a degree of the best one")


def test_find_gives_pixels_and_verdicts(mission: Mission, descriptors: np.ndarray) -> None:
    before = mission.days_old()
    finished = mission.run(EXAMPLES / "find.py", mission.saved("query.npy", descriptors[3]))
    lines = finished.stdout.splitlines()
    assert (finished.returncode, len(lines)) == (0, COUNT), finished.stderr
    assert lines[0].startswith(f"imported/{ZOOM}/{X}/3  distance 0.00")
    assert lines[0].endswith(tuple(f"ACCEPT, {days} days old" for days in (before, mission.days_old())))


def test_write_stores_a_tile_and_says_why_it_does_not(mission: Mission) -> None:
    stored = mission.run(EXAMPLES / "write.py", mission.tile, "48.1", "11.6")
    assert stored.returncode == 0, stored.stderr
    assert stored.stdout.startswith("stored onboard/")
    no_picture = mission.saved("query.npy", np.zeros(3))
    refused = mission.run(EXAMPLES / "write.py", no_picture, "48.1", "11.6")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("not stored: ")


def test_upload_brings_what_the_aircraft_made(mission: Mission) -> None:
    from aerotile.adapters.config.secret import Secret
    from aerotile.adapters.provider.server import ReferenceProvider

    mission.run(EXAMPLES / "write.py", mission.tile, "48.2", "11.7").check_returncode()
    token = uuid.uuid4().hex
    with ReferenceProvider(mission.folder / "provider", Secret(token)) as provider:
        settings = {"AEROTILE_UPLOAD_URL": provider.url, "AEROTILE_UPLOAD_TOKEN": token}
        finished = mission.run(EXAMPLES / "upload.py", **settings)
    assert finished.returncode == 0, finished.stderr
    assert "\nsuccess: " in finished.stdout
    assert "success: 0 accepted" not in finished.stdout


def test_every_example_is_run_here() -> None:
    here = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in here] == []


def test_a_frame_is_located_by_a_network_of_ones_own(mission: Mission) -> None:
    from PIL import Image

    own = EXAMPLES / "own_network.py"
    network = {"AEROTILE_DESCRIPTOR_CALLABLE": f"{own.stem}:describe", "PYTHONPATH": str(own.parent)}
    command = ("-m", "aerotile.adapters.cli")
    for arguments in (("describe", "own.npz"), ("index", "build", "own.npz")):
        mission.run(*command, *arguments, **network).check_returncode()
    frame = mission.saved("frame.npy", np.asarray(Image.open(mission.tile).convert("RGB")))
    finished = mission.run(EXAMPLES / "locate.py", frame, **network)
    lines = finished.stdout.splitlines()
    assert (finished.returncode, len(lines)) == (0, 3), finished.stderr
    assert all("  distance 0.00, by mean-colours-" in line for line in lines)
    mission.run(*command, "index", "rollback").check_returncode()
