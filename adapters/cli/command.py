"""Commands with the shared options, and groups that import a command when it is called."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from .errors import BAD_CALL
from .session import Session

CommandTable = Mapping[str, tuple[str, str]]
"""By a command's name: its module, which has a function of that name, and its short help."""


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Store a shared option in the session; an option after the command overrides one before it."""
    if value and option.name is not None:
        setattr(ctx.ensure_object(Session), option.name, value)
    return value


def shared_options() -> list[click.Parameter]:
    """The options that may stand before or after the command."""
    return [
        click.Option(
            ["--root"],
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Folder that holds the tiles, the index, the record and the database.",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["--config", "config_file"],
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Configuration file; default aerotile.toml in the current folder.",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["-v", "--verbose", "verbosity"],
            count=True,
            help="Log each step to standard error; twice for more.",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            help="Show the traceback of an error.",
            expose_value=False,
            callback=_remember,
        ),
    ]


class SingleValues(click.Command):
    """A command or group that refuses a second value of an option that takes one; click takes the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`. Raises `click.UsageError`."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, click.Option) and _takes_one_value(option):
                names = "/".join((*option.opts, *option.secondary_opts))
                raise click.UsageError(f"{names} is given {times} times and takes one value", ctx)
        return super().parse_args(ctx, args)


def _takes_one_value(option: click.Option) -> bool:
    is_on_or_off = option.is_flag and not option.secondary_opts
    return not (option.multiple or option.count or is_on_or_off)


class AerotileCommand(SingleValues):
    """A command with the shared options, whose logging is set up before it runs."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(shared_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Configure logging, then run the command."""
        ctx.ensure_object(Session).configure_logging()
        return super().invoke(ctx)


def command(
    *examples: str, name: str | None = None, more: str = "", **settings: Any
) -> Callable[[Callable[..., Any]], AerotileCommand]:
    """A command whose help ends with the lines of `examples`, which are calls of it, and with `more` of them.

    `name`: default that of the function. `settings` are those of `click.command`.
    """
    calls = "".join(f"  {example}\n" for example in examples)
    return click.command(name, cls=AerotileCommand, epilog=f"\b\nExample:\n{calls}{more}", **settings)


class LazyGroup(SingleValues, click.Group):
    """A group whose help comes from a table, and whose commands are imported when they are called."""

    command_class = AerotileCommand

    def __init__(
        self, *arguments: Any, commands_table: CommandTable, package: str | None, **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self._table = commands_table
        self._package = package

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; a call without a command prints the help and ends as a wrong call."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(BAD_CALL)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table's order, which is the order in which a mission needs them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in self._table:
            return None
        module = import_module(f".{self._table[cmd_name][0]}", self._package)
        # The function of a name that is a keyword or a builtin ends in an underscore.
        command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt name is answered with the nearest one."""
        name = args[0]
        if name not in self._table and not name.startswith("-"):
            near = difflib.get_close_matches(name, self._table, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self._table.items()])
