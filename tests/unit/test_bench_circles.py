"""The benchmarks import downwards only, for type checkers too: Python modules and C sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def modules_imported_by(path: Path) -> Iterator[Path]:
    """The files in `bench` that a module imports, wherever in the module the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else BENCH
            parent = base.joinpath(*(node.module or "").split(".")) if node.module else base
            yield from (parent.with_suffix(".py"), *(parent / f"{each.name}.py" for each in node.names))
        elif isinstance(node, ast.Import):
            yield from (BENCH.joinpath(*each.name.split(".")).with_suffix(".py") for each in node.names)


def files_included_by(path: Path) -> Iterator[Path]:
    yield from (path.parent / name for name in re.findall(r'#include "(.+)"', path.read_text("utf-8")))


def test_no_file_of_the_benchmarks_reaches_itself() -> None:
    modules = {path: set(modules_imported_by(path)) for path in BENCH.rglob("*.py")}
    sources = {path: set(files_included_by(path)) for path in BENCH.rglob("*.[ch]")}
    graph = {
        path: reached & graph_of.keys()
        for graph_of in (modules, sources)
        for path, reached in graph_of.items()
    }
    assert graph[BENCH / "harness/subjects.py"] == {
        BENCH / "harness/operations.py",
        BENCH / "harness/workshop.py",
    }
    assert graph[BENCH / "floors/opened_paths.h"] == {BENCH / "floors/lines.h"}
    TopologicalSorter(graph).prepare()  # raises CycleError
