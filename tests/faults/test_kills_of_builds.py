"""Builds whose workers, scheduler, disk or own process die: the bytes are those of a build in peace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
from affine import Affine
from reserved_ports import reserved_port
from waiting import until

import aerotile.adapters.dask.runner as dask_runner
from aerotile import AerotileConfig, TilesConfig
from aerotile.adapters.composition import Runtime
from aerotile.adapters.dask.runner import DaskRunner, runner_of_workers
from aerotile.adapters.input_files.build_plan import read_build_plan
from aerotile.domain.errors import BaseSealError

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
SIDE = 64
NETWORK = """
import hashlib, time
import numpy as np

def describe(pictures):
    time.sleep(0.05)
    return np.ascontiguousarray(pictures.mean(axis=(1, 2), dtype=np.float32) + 1)

describe.digest = hashlib.sha256(b"colours").hexdigest()
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a raster, a network that takes its time, and a plan of about twenty blocks."""
    pixels = np.random.default_rng(3).integers(0, 256, (3, 1500, 1500), dtype=np.uint8)
    place = Affine(4.0, 0.0, 680_000.0, 0.0, -4.0, 5_330_000.0)
    facts = {"driver": "GTiff", "width": 1500, "height": 1500, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "ortho.tif", "w", crs="EPSG:32632", transform=place, **facts, tiled=True
    ) as file:
        file.write(pixels)
    (tmp_path / "slow_network.py").write_text(NETWORK, encoding="utf-8")
    return tmp_path


def plan(site: Path, work: str) -> Path:
    path = site / f"{work}.toml"
    path.write_text(
        'sources = ["ortho.tif"]\ncaptured_at = "2026-05-01"\nzooms = [16, 17]\nenlarge = true\n'
        f'work = "{work}"\n[describe]\ncallable = "slow_network:describe"\nbatch = 8\n',
        encoding="utf-8",
    )
    return path


def environment(site: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AEROTILE_")}
    return kept | {"AEROTILE_TILES_TILE_SIZE_PIXELS": str(SIDE), "PYTHONPATH": str(site)}


def begin(site: Path, work: str, *options: str, number: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "aerotile.adapters.cli", "--root", str(site / f"{work}-root")),
            *("build", str(plan(site, work)), "--number", str(number), "--json", *options),
        ],
        cwd=site,
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(build: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    out, err = build.communicate(timeout=240)
    assert build.returncode == 0, err
    return json.loads(out), err


def sealed(site: Path, work: str) -> bytes:
    return (site / f"{work}-root/base/generations/000001/manifest.json").read_bytes()


def files(site: Path, work: str, step: str) -> int:
    return len([path for path in site.glob(f"{work}/{step}/*/*") if not path.name.startswith(".")])


def workers_of(build: subprocess.Popen[str]) -> list[int]:
    """The processes of a build's workers, which each nanny begins by multiprocessing's spawn."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and int(stat[1]) == build.pid and b"spawn_main" in command:
            found.append(int(entry.name))
    return found


def test_a_worker_killed_in_each_phase_costs_a_block_and_no_byte(site: Path) -> None:
    alone, _ = end(begin(site, "alone"))
    build = begin(site, "shared", "--workers", "2")
    for step in ("tiles", "descriptors"):
        until(lambda step=step: files(site, "shared", step) >= 2 or build.poll() is not None)
        victims = workers_of(build)
        assert victims, "the build was over before a worker could be killed"
        os.kill(victims[0], signal.SIGKILL)
    shared, _ = end(build)
    assert shared["steps"]["cut"]["blocks"] > 4
    assert shared["files"] == alone["files"]
    assert sealed(site, "shared") == sealed(site, "alone")


def test_a_worker_that_dies_when_a_file_is_about_to_get_its_name_costs_no_byte_in_any_phase(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _ = end(begin(site, "alone"))
    monkeypatch.setenv("AEROTILE_TILES_TILE_SIZE_PIXELS", str(SIDE))
    monkeypatch.syspath_prepend(site)
    phases: list[str] = []

    def dying_once(work: Callable[[Any], Any], mark: str) -> Callable[[Any], Any]:
        def call(task: Any) -> Any:
            import os
            from pathlib import Path

            rename = os.rename

            def die(*args: Any, **named: Any) -> None:
                try:
                    Path(mark).touch(exist_ok=False)
                except FileExistsError:
                    rename(*args, **named)
                else:
                    os._exit(9)

            os.rename = die  # type: ignore[assignment] # the worker is one of this test
            try:
                return work(task)
            finally:
                os.rename = rename

        return call

    class Dying(DaskRunner):
        def _run(self, phase: str, work: Callable[[Any], Any], *args: Any, **named: Any) -> Any:
            phases.append(phase)
            return super()._run(phase, dying_once(work, str(site / f"{phase}.died")), *args, **named)

    config = AerotileConfig(root=site / "shared-root", tiles=TilesConfig(tile_size_pixels=SIDE))
    monkeypatch.setattr(dask_runner, "DaskRunner", Dying)
    with (
        Runtime(config) as runtime,
        runtime.planned_build(read_build_plan(plan(site, "shared")), None) as planned,
        runtime.block_runner(planned, workers=2) as runner,
    ):
        report = runtime.build_base(planned, runner, number=1)
    assert phases == ["cut", "describe", "order", "graph"]
    assert sorted(path.stem for path in site.glob("*.died")) == sorted(phases)
    assert report.manifest is not None
    assert {name: file.digest for name, file in report.manifest.files.items()} == {
        name: file["digest"] for name, file in alone["files"].items()
    }
    assert sealed(site, "shared") == sealed(site, "alone")
    assert list(site.glob("shared/*/*/.*.tmp"))  # what the killed writers left
    end(begin(site, "shared", number=2))
    assert not list(site.glob("shared/*/*/.*"))


def test_a_build_that_is_killed_goes_on_where_it_was(site: Path) -> None:
    alone, _ = end(begin(site, "alone"))
    for step, least in (("tiles", 2), ("descriptors", 2), ("descriptors", 4)):
        build = begin(site, "killed")
        until(
            lambda build=build, step=step, least=least: (
                files(site, "killed", step) >= least or build.poll() is not None
            )
        )
        build.kill()
        build.communicate(timeout=60)
        assert not (site / "killed-root/base/generations/000001").exists()
    killed, _ = end(begin(site, "killed"))
    assert killed["steps"]["cut"]["taken_over"] == killed["steps"]["cut"]["blocks"]
    assert killed["steps"]["describe"]["taken_over"] >= 4
    assert sealed(site, "killed") == sealed(site, "alone")
    assert killed["files"] == alone["files"]


@pytest.fixture
def cluster(site: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Begins a scheduler or a worker; all are ended with the test."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin_one(*command: str) -> subprocess.Popen[bytes]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=site,
                env=environment(site),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return begun[-1]

    yield begin_one
    for process in begun:
        process.kill()
        process.wait(timeout=60)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a scheduler that ends and is begun again."""
    reserved, port = reserved_port()
    with reserved:
        yield port


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_scheduler_that_is_started_again_goes_on(
    site: Path, cluster: Callable[..., subprocess.Popen[bytes]], port: int, how: signal.Signals
) -> None:
    end(begin(site, "alone"))

    def scheduler() -> subprocess.Popen[bytes]:
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        return cluster("scheduler", *options)

    def worker() -> subprocess.Popen[bytes]:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(site))
        return cluster("worker", f"tcp://127.0.0.1:{port}", *options)

    first = scheduler()
    workers = [worker()]
    build = begin(site, "shared", "--scheduler", f"tcp://127.0.0.1:{port}")
    until(lambda: files(site, "shared", "descriptors") >= 2 or build.poll() is not None)
    assert build.poll() is None, build.communicate()
    first.send_signal(how)
    first.wait(timeout=60)
    for each in workers:
        each.kill()
    scheduler()
    worker()
    shared, err = end(build)
    assert sealed(site, "shared") == sealed(site, "alone")
    assert shared["steps"]["describe"]["blocks"] > 4
    assert err == ""


def test_a_block_that_kills_its_workers_ends_the_build_with_the_last_ones_address(
    tmp_path: Path,
) -> None:
    def die(task: int) -> None:
        import os

        os._exit(9)

    with (
        # A worker that dies while it is begun again may not be begun a third time: the first death counts.
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        runner_of_workers(1, str(tmp_path), dict) as runner,
        pytest.raises(BaseSealError, match=r"of the phase cut was on 1 workers that died, the last tls://"),
    ):
        list(runner.run("cut", die, [1]))


def test_a_folder_without_room_ends_the_build_by_name_and_one_with_room_goes_on(
    site: Path, mount: Callable[..., Path]
) -> None:
    alone, _ = end(begin(site, "alone"))
    (site / "full").symlink_to(mount("size=1m"))
    build = begin(site, "full", "--workers", "2")
    _, err = build.communicate(timeout=240)
    assert build.returncode == 1
    assert err.count("\n") == 1
    assert "has no room left" in err
    assert "worker tls://127.0.0.1" in err
    left = files(site, "full", "tiles")
    assert left > 0
    subprocess.run(["mount", "-o", "remount,size=64m", (site / "full").resolve()], check=True)
    shared, _ = end(begin(site, "full"))
    assert 0 < shared["steps"]["cut"]["taken_over"] <= left
    assert shared["files"] == alone["files"]
