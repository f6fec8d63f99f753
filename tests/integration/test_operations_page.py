"""docs/operations.md has the settings and floors of the code; pages name commands and options that exist."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aerotile.adapters.cli.program import aerotile
from aerotile.adapters.config.settings import in_toml, settings, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOR_USERS = ("embedded", "mcap", "provider", "imagery", "onnx", "ground", "serve", "demo")
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_settings_table_is_what_the_code_says() -> None:
    expected = [
        f"| `{s.name}` | `{s.variable}` "
        f"| {'not set' if s.default is None else f'`{in_toml(shown(s.default))}`'} | {s.about} |"
        for s in settings()
    ]
    written = [line for line in PAGE.splitlines() if re.match(r"\| `[\w.]+` \| `AEROTILE_", line)]
    assert written == expected


def commands_below(command: click.Command, words: str = "") -> dict[str, click.Command]:
    """Every command and group, by its words."""
    found = {words: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= commands_below(below, f"{words} {name}".strip())
    return found


def options_of(command: click.Command) -> set[str]:
    return {option for each in command.params for option in (*each.opts, *each.secondary_opts)}


COMMANDS = commands_below(aerotile)
SHARED = options_of(aerotile) | {"--help"}
CALL = re.compile(r"(?:^|`)aerotile ((?:--root \S+ )?[a-z][^`#\n]*)", re.MULTILINE)


def calls_on(page: Path) -> Iterator[tuple[str, str]]:
    """The words of each command that a page calls, and what follows them."""
    for call in CALL.findall(page.read_text(encoding="utf-8").replace("\\\n", " ")):
        words = re.sub(r"^--root \S+ ", "", call).split()
        count = next((n for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS), 0)
        yield " ".join(words[: max(count, 1)]), " ".join(words[count:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    for words, rest in calls_on(page):
        assert words in COMMANDS
        named = set(re.findall(r"(?:^|\s)(--[a-z][\w-]*)", rest))
        assert named <= options_of(COMMANDS[words]) | SHARED, f"aerotile {words} {rest}"


def test_every_command_is_on_a_page() -> None:
    on_pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    doing = [words for words, command in COMMANDS.items() if not isinstance(command, click.Group)]
    assert [words for words in doing if not re.search(rf"aerotile {words}\b", on_pages)] == []


def test_every_floor_of_a_user_s_installation_is_in_the_table_as_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    floors = [*project["dependencies"], *(floor for name in FOR_USERS for floor in extras[name])]
    expected = {floor.partition(";")[0].strip() for floor in floors if not floor.startswith("aerotile[")}
    section = PAGE.partition("## Beside other software")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([\w\[\]-]+>=[\w.]+)`", section)) == expected
    assert f"| CPython {project['requires-python'].removeprefix('>=')} |" in section
