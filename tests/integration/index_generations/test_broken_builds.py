"""Builds of the descriptor index that are interrupted, killed or out of disk leave a whole generation."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from index_builds import build, generation, nearest

from aerotile.adapters.faiss import FaissDescriptorIndex


def test_a_build_that_is_interrupted_leaves_no_trace(built: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(FaissDescriptorIndex(built), 200, progress=interrupt)
    assert [entry.name for entry in (built / "generations").iterdir()] == ["000001"]
    assert nearest(FaissDescriptorIndex(built)) == 100


def test_a_full_disk_is_a_build_error_and_leaves_no_trace(built: Path) -> None:
    program = """
        import resource, signal, sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from index_builds import build
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
        [sys.executable, "-c", textwrap.dedent(program), built, Path(__file__).parents[1]],
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
    from index_builds import build
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
    for number in range(64):
        shutil.copytree(built, copies / f"{number:02d}")
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_BUILDS), copies, Path(__file__).parents[1]],
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
