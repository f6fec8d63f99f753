"""The descriptor index's files: what a crash, damage, a rollback or two builders leave behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.descriptors import DescriptorMetric, HnswParams, VectorStorage
from aerotile.domain.errors import IndexBuildError, IndexUnavailableError
from aerotile.domain.tiles import TileId, TileSource

BUILT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
DIMENSION = 16
FILES = ("tiles.index", "tiles.index.sha256", "tiles.meta.json")


def tile(number: int) -> TileId:
    return TileId(18, number, 7, TileSource.SATELLITE_PROVIDER)


def vectors(count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(count, DIMENSION)).astype(np.float32)


def build(index: FaissDescriptorIndex, first_tile: int = 0, count: int = 50, **named: Any) -> None:
    tiles = [tile(first_tile + number) for number in range(count)]
    index.rebuild(tiles, vectors(count), descriptor_model="a-network", built_at=BUILT_AT, **named)


def nearest(index: FaissDescriptorIndex) -> int:
    """The column of the tile that the first descriptor belongs to: tells which build answers."""
    return index.search(vectors(1)[0], 1)[0].tile_id.x


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def built(root: Path) -> Path:
    """A root with one generation, of tiles from 100."""
    build(FaissDescriptorIndex(root), 100)
    return root


def generation(root: Path) -> Path:
    return root / "generations" / (root / "current").read_text().strip()


def damage(folder: Path) -> None:
    path = folder / "tiles.index"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.unlink()
    path.write_bytes(content)


def test_the_next_process_opens_what_was_built(built: Path) -> None:
    assert nearest(FaissDescriptorIndex(built)) == 100


def test_the_sidecar_satisfies_sha256sum(built: Path) -> None:
    subprocess.run(["sha256sum", "-c", "tiles.index.sha256"], cwd=generation(built), check=True)


def test_the_files_of_a_generation_are_read_only(built: Path) -> None:
    assert {(generation(built) / name).stat().st_mode & 0o777 for name in FILES} == {0o440}


def test_vectors_are_searched_inside_the_mapping_and_not_copied(root: Path) -> None:
    descriptors = np.random.default_rng(7).normal(size=(4000, 1024)).astype(np.float32)
    FaissDescriptorIndex(
        root, storage=VectorStorage.FLOAT32, params=HnswParams(m=8, ef_construction=20)
    ).rebuild([tile(number) for number in range(4000)], descriptors, descriptor_model="a", built_at=BUILT_AT)
    program = """
        import sys
        from pathlib import Path
        import numpy as np
        from aerotile.adapters.faiss import FaissDescriptorIndex

        def anonymous_kib():
            status = Path("/proc/self/status").read_text()
            return int(status.split("RssAnon:")[1].split()[0])

        before = anonymous_kib()
        index = FaissDescriptorIndex(Path(sys.argv[1]))
        index.search(np.ones(1024, np.float32), 10)
        print(anonymous_kib() - before)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), root], check=True, capture_output=True, text=True
    )
    size_kib = (generation(root) / "tiles.index").stat().st_size / 1024
    assert size_kib > 16_000
    assert int(finished.stdout) < size_kib / 4


def test_a_search_runs_on_its_callers_thread_alone(built: Path) -> None:
    program = """
        import os, sys
        from pathlib import Path
        import numpy as np
        from aerotile.adapters.faiss import FaissDescriptorIndex

        index = FaissDescriptorIndex(Path(sys.argv[1]), warm_up=False)
        before = len(os.listdir("/proc/self/task"))
        index.search(np.ones(16, np.float32), 10)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), built], check=True, capture_output=True, text=True
    )
    assert finished.stdout == "0\n"


def test_tiles_that_the_graph_does_not_reach_are_left_out_of_the_hits(root: Path) -> None:
    index = FaissDescriptorIndex(root, params=HnswParams(m=2, ef_construction=1), threads=1)
    build(index, count=500)
    hits = index.search(vectors(1)[0], 500)
    assert 1 <= len(hits) < 500
    assert len({hit.tile_id for hit in hits}) == len(hits)


def test_as_many_older_generations_are_kept_as_asked_for(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=2)
    for number in range(5):
        build(index, number * 100)
    assert index.generations.names() == ["000003", "000004", "000005"]


def test_none_are_kept_when_none_are_asked_for(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 0)
    build(index, 100)
    assert index.generations.names() == ["000002"]
    assert nearest(index) == 100


def test_a_rollback_answers_from_the_generation_before_here_and_in_the_next_process(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    index.rollback()
    assert nearest(index) == nearest(FaissDescriptorIndex(built)) == 100


def test_a_rollback_can_name_its_generation(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    index.rollback()
    index.rollback("000002")
    assert nearest(index) == 200


def test_a_rollback_leads_away_from_a_damaged_generation(built: Path) -> None:
    build(FaissDescriptorIndex(built), 200)
    damage(generation(built))
    index = FaissDescriptorIndex(built, open_existing=False)
    index.rollback()
    assert nearest(index) == 100


def test_a_damaged_index_can_be_rebuilt_by_a_tool_that_does_not_open_it(built: Path) -> None:
    damage(generation(built))
    build(FaissDescriptorIndex(built, open_existing=False), 200)
    assert nearest(FaissDescriptorIndex(built)) == 200


def test_a_rollback_to_a_damaged_generation_changes_nothing(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    damage(built / "generations" / "000001")
    with pytest.raises(IndexUnavailableError):
        index.rollback()
    assert nearest(index) == nearest(FaissDescriptorIndex(built)) == 200


@pytest.mark.parametrize("name", [None, "000009", "../generations/000001"])
def test_a_rollback_to_a_generation_that_is_not_there_is_refused(built: Path, name: str | None) -> None:
    with pytest.raises(IndexUnavailableError, match="holds no generation"):
        FaissDescriptorIndex(built).rollback(name)


def test_a_rollback_where_nothing_was_built_is_refused_and_makes_no_folder(root: Path) -> None:
    with pytest.raises(IndexUnavailableError, match="no descriptor index"):
        FaissDescriptorIndex(root).rollback()
    assert not root.exists()


def test_a_reader_of_the_old_generation_is_not_disturbed_by_its_removal(built: Path) -> None:
    reader = FaissDescriptorIndex(built)
    build(FaissDescriptorIndex(built, keep_generations=0), 200)
    assert nearest(reader) == 100


def test_searches_go_on_while_rebuilds_swap(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 0)
    done = threading.Event()
    answers: set[int] = set()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not done.is_set():
                answers.add(nearest(index))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        build(index, number * 100)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert answers <= {number * 100 for number in range(20)}
    assert nearest(index) == 1900


def test_a_second_builder_is_refused_while_one_is_at_work(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    refusals: list[str] = []

    def try_another(done: int, total: int) -> None:
        other = FaissDescriptorIndex(built)
        for attempt in (lambda: build(other, 300), other.rollback):
            with pytest.raises(IndexBuildError, match="under way") as refused:
                attempt()
            refusals.append(str(refused.value))

    build(index, 200, progress=try_another)
    assert len(refusals) == 2
    assert nearest(FaissDescriptorIndex(built)) == 200


# --- builds that fail ---------------------------------------------------------------------------------------


def test_a_build_that_is_interrupted_leaves_no_trace(built: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(FaissDescriptorIndex(built), 200, progress=interrupt)
    assert [entry.name for entry in (built / "generations").iterdir()] == ["000001"]
    assert nearest(FaissDescriptorIndex(built)) == 100


def test_a_root_that_is_a_file_is_a_build_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexBuildError, match="can't be written"):
        build(FaissDescriptorIndex(tmp_path / "file" / "index", open_existing=False))


def test_components_too_large_for_float16_are_refused(root: Path) -> None:
    descriptors = np.full((3, DIMENSION), 70_000, np.float32)
    arguments: dict[str, Any] = {"descriptor_model": "a", "built_at": BUILT_AT}
    with pytest.raises(IndexBuildError, match="does not fit into float16"):
        FaissDescriptorIndex(root).rebuild([tile(n) for n in range(3)], descriptors, **arguments)
    FaissDescriptorIndex(root, storage=VectorStorage.FLOAT32).rebuild(
        [tile(n) for n in range(3)], descriptors, **arguments
    )


def test_more_flights_than_a_tile_key_can_name_are_refused(root: Path) -> None:
    tiles = [TileId(5, 1, 1, TileSource.ONBOARD, uuid4()) for _ in range(16_383)]
    with pytest.raises(IndexBuildError, match="too many flights"):
        FaissDescriptorIndex(root).rebuild(
            tiles, np.ones((len(tiles), 1), np.float32), descriptor_model="a", built_at=BUILT_AT
        )


def test_a_full_disk_is_a_build_error_and_leaves_no_trace(built: Path) -> None:
    program = """
        import resource, signal, sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from test_index_generations import build
        from aerotile.adapters.faiss import FaissDescriptorIndex
        from aerotile.domain.errors import IndexBuildError

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            build(FaissDescriptorIndex(Path(sys.argv[1])), 200, 100)
        except IndexBuildError as error:
            print(error, "/", error.remedy)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), built, Path(__file__).parent],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "can't be written: File too large / make room" in finished.stdout
    assert [entry.name for entry in (built / "generations").iterdir()] == ["000001"]
    assert nearest(FaissDescriptorIndex(built)) == 100


KILLED_BUILDS = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = sys.argv[2:]
    from test_index_generations import build
    from aerotile.adapters.faiss import FaissDescriptorIndex

    steps = 0

    def kill_at_step(event, arguments):
        global steps
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir"):
            steps -= 1
            if steps < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    # Each folder is a copy of the same index; the build in the n-th is killed at its n-th step.
    for number, root in enumerate(sorted(Path(sys.argv[1]).iterdir())):
        child = os.fork()
        if child == 0:
            index = FaissDescriptorIndex(root, keep_generations=0, threads=1)
            steps = number
            sys.addaudithook(kill_at_step)
            build(index, 200)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), root.name)
"""


def test_a_build_killed_at_any_step_leaves_a_whole_generation_and_the_next_build_tidies_up(
    built: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    for number in range(48):
        shutil.copytree(built, copies / f"{number:02d}")
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_BUILDS), copies, Path(__file__).parent],
        check=True,
        capture_output=True,
        text=True,
    )
    outcomes = [line.split() for line in finished.stdout.splitlines()]
    assert {code for code, _ in outcomes} == {"-9", "0"}, (
        "the last builds have fewer steps than they may take"
    )
    answers: list[int] = []
    for _, name in outcomes:
        root = copies / name
        answers.append(nearest(FaissDescriptorIndex(root)))
        build(FaissDescriptorIndex(root, keep_generations=0), 300)
        assert [entry.name for entry in (root / "generations").iterdir()] == [generation(root).name]
        assert {entry.name for entry in root.iterdir()} == {"current", "generations", ".lock"}
        assert nearest(FaissDescriptorIndex(root)) == 300
    assert set(answers) == {100, 200}, "some kills came before the switch, some after it"
    assert answers == sorted(answers)


def test_the_metric_of_the_generation_in_use_decides_a_search(root: Path) -> None:
    build(FaissDescriptorIndex(root, params=HnswParams(metric=DescriptorMetric.INNER_PRODUCT)))
    index = FaissDescriptorIndex(root, params=HnswParams(metric=DescriptorMetric.L2))
    assert index.metadata().metric is DescriptorMetric.INNER_PRODUCT
    query = vectors(1)[0]
    assert index.search(query, 1)[0].distance == pytest.approx(float((vectors(50) @ query).max()), rel=1e-2)
