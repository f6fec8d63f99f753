"""The wheel: what is in it, and that an environment with nothing else can use it.

`TEST_WHEEL` names a wheel that was already built; otherwise one is built from a copy of the source tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from textwrap import dedent

import pytest

# One worker builds it.
pytestmark = [
    pytest.mark.slow(reason="compiles the package for a wheel"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("wheel"),
]

REPOSITORY = Path(__file__).parents[2]
PACKAGE_FOLDERS = ("domain", "adapters", "ext", "migrations")
SHIPPED_SUFFIXES = {".py", ".pyi", ".sql", ".mako", ".html", ".css", ".js", ".svg"}
ROOT_MODULES = ("__init__.py", "testing.py", "py.typed")
TOP_LEVEL = {*PACKAGE_FOLDERS, *ROOT_MODULES}
BUILT_WITH = {"setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = os.environ.get("TEST_WHEEL")
    if built:
        return Path(built)
    # A copy, because a build leaves files in the tree and takes stale ones from it.
    source = tmp_path_factory.mktemp("source")
    for name in TOP_LEVEL - set(PACKAGE_FOLDERS) | BUILT_WITH:
        shutil.copy(REPOSITORY / name, source)
    for name in (*PACKAGE_FOLDERS, "tests", "bench"):
        if (REPOSITORY / name).is_dir():
            compiled = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
            shutil.copytree(REPOSITORY / name, source / name, ignore=compiled)
    # A source distribution, and the wheel from it: what the former lacks, the latter can't be built with.
    built_into = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--outdir", built_into, source], check=True, cwd=source)
    (found,) = built_into.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def shipped(wheel: Path) -> set[str]:
    """The wheel's files below `aerotile/`."""
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    package = [name for name in names if name.parts[0] == "aerotile"]
    others = {name.parts[0] for name in names} - {"aerotile"}
    assert all(other.endswith(".dist-info") for other in others)
    return {str(name.relative_to("aerotile")) for name in package}


def test_the_wheel_holds_the_package_and_nothing_else_of_the_repository(shipped: set[str]) -> None:
    assert {PurePosixPath(name).parts[0] for name in shipped} == TOP_LEVEL


def test_the_wheel_holds_every_file_of_the_package_but_no_source_of_the_extension(
    shipped: set[str],
) -> None:
    in_tree = {
        str(path.relative_to(REPOSITORY))
        for folder in PACKAGE_FOLDERS
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in SHIPPED_SUFFIXES
    }
    compiled = {name for name in shipped if name.endswith(".so")}
    assert shipped - compiled == in_tree | {*ROOT_MODULES}


def test_every_extension_module_is_compiled_and_has_its_types(shipped: set[str]) -> None:
    extension = {PurePosixPath(name) for name in shipped if name.startswith("ext/")}
    sources = {path.stem for path in (REPOSITORY / "ext").glob("*.pyx")}
    assert sources
    assert {path.name.split(".")[0] for path in extension if path.suffix == ".so"} == sources
    assert {path.stem for path in extension if path.suffix == ".pyi"} == sources


def test_the_extension_carries_no_symbols(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
        with_symbols = [name for name in compiled if b".symtab" in archive.read(name)]
    assert compiled
    assert with_symbols == []


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert archive.read(name) == (REPOSITORY / "LICENSE").read_bytes()


def test_the_wheel_alone_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    # No dependency is installed in the new environment: the root's names are lazy.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    (libraries,) = (tmp_path / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(libraries)
    finished = subprocess.run(
        [python, "-I", "-c", "import aerotile; print(aerotile.__file__); print('TileId' in dir(aerotile))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"{libraries}/aerotile/__init__.py\nTrue\n"


STRANGERS_TEST = """
    import threading
    import time
    from datetime import datetime, timezone

    import pytest

    from aerotile.testing import ClockContract


    class StrangersClock:
        def now(self):
            return datetime.now(timezone.utc)

        def monotonic(self):
            return time.monotonic()

        def sleep(self, seconds):
            if seconds < 0:
                raise ValueError("sleep length must not be negative")
            threading.Event().wait(seconds)


    class TestStrangersClock(ClockContract):
        @pytest.fixture
        def clock(self):
            return StrangersClock()
"""


@pytest.mark.parametrize(
    ("sound", "broken", "failed"),
    [
        ("datetime.now(timezone.utc)", "datetime.now()", "test_wall_time_is_aware_and_in_utc"),
        ("if seconds < 0:", "if False:", "test_a_negative_sleep_is_refused"),
        (".wait(seconds)", ".wait(0)", "test_sleep_lets_at_least_that_much_monotonic_time_pass"),
    ],
    ids=["naive time", "negative sleep", "no sleep"],
)
def test_a_stranger_runs_a_suite_of_the_wheel_which_fails_for_a_broken_adapter(
    wheel: Path, tmp_path: Path, sound: str, broken: str, failed: str
) -> None:
    libraries = tmp_path / "libraries"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(libraries)
    test = tmp_path / "test_strangers_clock.py"
    command = [sys.executable, "-m", "pytest", "-rf", "-p", "no:cacheprovider", "--rootdir", tmp_path, test]

    def run(source: str) -> subprocess.CompletedProcess[str]:
        test.write_text(dedent(source))
        environment = os.environ | {"PYTHONPATH": str(libraries)}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    green, red = run(STRANGERS_TEST), run(STRANGERS_TEST.replace(sound, broken))
    assert (green.returncode, red.returncode) == (0, 1), green.stdout + red.stdout
    (line,) = [line for line in red.stdout.splitlines() if line.startswith("FAILED")]
    assert failed in line
    assert "libraries/aerotile/adapters/contracts/clock.py:" in red.stdout  # not this environment's copy
