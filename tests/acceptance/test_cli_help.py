from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_calls import Call

from aerotile.adapters.cli.program import aerotile


def commands_below(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that does something, by its words."""
    if not isinstance(group, click.Group):
        return [path]
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands_below(command, (*path, name))
    return found


COMMANDS = commands_below(aerotile)


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_shows_an_example(call: Call, command: tuple[str, ...]) -> None:
    result = call(*command, "--help")
    assert result.code == 0
    assert f"Usage: aerotile {' '.join(command)}" in result.out
    assert "Example:\n" in result.out
    assert f"  aerotile {' '.join(command)}" in result.out.partition("Example:")[2]
    for option in ("--json", "--root", "--config", "--verbose", "--debug"):
        assert option in result.out


def test_the_help_lists_every_command(call: Call) -> None:
    out = call("--help").out
    for command in COMMANDS:
        assert f"\n  {command[0]} " in out


def test_the_help_needs_nothing_but_click_and_the_standard_library() -> None:
    imported = in_new_process(
        "import sys\n"
        "from aerotile.adapters.cli import main\n"
        "main(['--help'])\n"
        "print(sorted(m for m in sys.modules if '.' not in m))"
    )
    for name in (
        "numpy",
        "attr",
        "psycopg",
        "alembic",
        "sqlalchemy",
        "faiss",
        "rtree",
        "rich",
        "PIL",
        "httpx",
    ):
        assert f"'{name}'" not in imported


def test_the_help_of_a_command_opens_no_driver() -> None:
    imported = in_new_process(
        "import sys\n"
        "from aerotile.adapters.cli import main\n"
        f"for command in {[c for c in COMMANDS if c != ('demo',)]!r}: main([*command, '--help'])\n"
        "print(sorted(m for m in sys.modules if '.' not in m))"
    )
    for name in ("psycopg", "alembic", "sqlalchemy", "faiss", "rtree", "rich", "PIL", "httpx"):
        assert f"'{name}'" not in imported


@pytest.mark.parametrize("arguments", [(), ("sectors",), ("index",)], ids=" ".join)
def test_a_call_without_a_command_shows_the_help_and_is_wrong(call: Call, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("Usage: aerotile")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("provision", ""), "argument 2"),
        (("provision", "x", "--area", ""), "the value of --area"),
        (("datasets", "define", "d", "--source="), "the value of --source"),
        (("--root", "", "status"), "the value of --root"),
    ],
)
def test_an_empty_text_is_refused(call: Call, arguments: tuple[str, ...], named: str) -> None:
    result = call(*arguments)
    assert (result.code, f"{named} is empty" in result.error) == (2, True)


def test_a_misspelt_command_is_answered_with_the_nearest_one(call: Call) -> None:
    result = call("statsu")
    assert result.code == 2
    assert result.error == "no command 'statsu', did you mean status? — see aerotile --help"


def test_shared_options_may_stand_before_or_after_the_command(call: Call, tmp_path: Path) -> None:
    before = call("--root", "elsewhere", "status")
    after = call("status", "--root", "elsewhere")
    assert before == after
    assert str(tmp_path / "elsewhere") in after.error


def test_the_option_after_the_command_overrides_the_one_before(call: Call) -> None:
    assert "second" in call("--root", "first", "status", "--root", "second").error


def single_valued_options(words: tuple[str, ...]) -> list[str]:
    command: click.Command = aerotile
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not (option.multiple or option.count or option.is_flag)
    ]


@pytest.mark.parametrize("command", [(), ("uploads",), *COMMANDS], ids=" ".join)
def test_two_values_of_an_option_that_takes_one_are_refused_by_name(
    call: Call, command: tuple[str, ...]
) -> None:
    for option in single_valued_options(command):
        refused = call(*command, f"{option}=1", f"{option}=2")
        assert refused.code == 2
        assert f"{option} is given 2 times and takes one value" in refused.error


def test_on_and_off_of_one_option_are_refused_and_a_repeated_flag_is_not(call: Call) -> None:
    refused = call("base", "seal", "--index", "--no-index")
    assert (refused.code, "--index/--no-index is given 2 times" in refused.error) == (2, True)
    assert call("sectors", "list", "--json", "--json").code == 0
