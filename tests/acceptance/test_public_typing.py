"""The public API under a strict type checker, as a user's program meets it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import aerotile

pytestmark = pytest.mark.xdist_group("public_typing")  # one store, or one cache, for all of them
HERE = Path(__file__).parent
PROGRAM = HERE / "typed_user_program.py"
EXAMPLES = sorted((HERE.parents[1] / "examples").glob("*.py"))

needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy (the extra `dev`)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package has its name: in a clone the root folder is the package."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "aerotile").symlink_to(Path(aerotile.__file__).parent)
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\npython_version = 3.10\nfollow_imports = silent\n"
    )
    return folder


def complaints(installed: Path, *programs: Path) -> str:
    """What mypy says of programs under `strict`, without what it says of the package itself."""
    # Beside the clone, whose root has an `__init__.py` and perhaps a name that is none of a package.
    copies = [shutil.copy(program, installed) for program in programs]
    finished = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *copies],
        cwd=installed,
        env={**os.environ, "MYPYPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    return finished.stdout + finished.stderr


WRONG = "wrong_user_program.py"


@pytest.fixture(scope="module")
def said(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines that mypy says of good programs and a wrong one: one run, which reads the package once."""
    wrong = tmp_path_factory.mktemp("wrong") / WRONG
    wrong.write_text("import aerotile\naerotile.TileId(1, 2, 3, 'imported')\naerotile.no_such_name\n")
    return complaints(installed, PROGRAM, *EXAMPLES, wrong).splitlines()


@needs_mypy
def test_the_examples_and_a_program_that_uses_every_public_name_are_well_typed(said: list[str]) -> None:
    assert [line for line in said if WRONG not in line] == []


@needs_mypy
def test_a_wrong_program_is_seen(said: list[str]) -> None:
    wrong = "\n".join(line for line in said if WRONG in line)
    assert 'Argument 4 to "TileId"' in wrong
    assert "no_such_name" in wrong


def test_the_program_uses_every_public_name() -> None:
    attributes = [
        node for node in ast.walk(ast.parse(PROGRAM.read_text("utf-8"))) if isinstance(node, ast.Attribute)
    ]
    used = {node.attr for node in attributes if ast.unparse(node.value) == "aerotile"}
    assert set(aerotile.__all__) - used == set()
