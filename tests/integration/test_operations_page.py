"""docs/operations.md lists every setting as the code has it, and names only commands that there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from aerotile.adapters.cli.program import COMMANDS
from aerotile.adapters.config.settings import in_toml, settings, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOR_USERS = ("embedded", "mcap", "provider", "imagery", "onnx", "ground", "serve", "demo")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_settings_table_is_what_the_code_says() -> None:
    expected = [
        f"| `{s.name}` | `{s.variable}` "
        f"| {'not set' if s.default is None else f'`{in_toml(shown(s.default))}`'} | {s.about} |"
        for s in settings()
    ]
    written = [line for line in PAGE.splitlines() if re.match(r"\| `[\w.]+` \| `AEROTILE_", line)]
    assert written == expected


def test_every_command_on_the_page_exists() -> None:
    named = set(re.findall(r"(?:^|`)aerotile ([a-z]+)", PAGE, flags=re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


def test_every_floor_of_a_user_s_installation_is_in_the_table_as_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    floors = [*project["dependencies"], *(floor for name in FOR_USERS for floor in extras[name])]
    expected = {floor.partition(";")[0].strip() for floor in floors if not floor.startswith("aerotile[")}
    section = PAGE.partition("## Beside other software")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([\w\[\]-]+>=[\w.]+)`", section)) == expected
    assert f"| CPython {project['requires-python'].removeprefix('>=')} |" in section
