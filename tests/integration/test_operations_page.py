"""docs/operations.md lists every setting as the code has it, and names only commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

from aerotile.adapters.cli.program import COMMANDS
from aerotile.adapters.config.settings import settings, shown

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_settings_table_is_what_the_code_says() -> None:
    expected = [
        f"| `{s.name}` | `{s.variable}` | {'not set' if s.default is None else f'`{shown(s.default)}`'} "
        f"| {s.about} |"
        for s in settings()
    ]
    written = [line for line in PAGE.splitlines() if re.match(r"\| `[\w.]+` \| `AEROTILE_", line)]
    assert written == expected


def test_every_command_on_the_page_exists() -> None:
    named = set(re.findall(r"(?:^|`)aerotile ([a-z]+)", PAGE, flags=re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)
