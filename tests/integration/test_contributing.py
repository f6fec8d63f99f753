"""What CONTRIBUTING.md and the hooks tell a contributor to run exists, and the hooks download nothing."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
HOOKS = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8"))


def test_the_layout_lists_every_top_level_folder_of_code() -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    listed = set(re.findall(r"^(\w+)/ ", page, re.MULTILINE))
    assert listed == {"domain", "adapters", "ext", "migrations", "examples", "tests", "bench"}
    assert [folder for folder in listed if not (REPOSITORY / folder).is_dir()] == []


def test_the_layout_lists_every_folder_and_use_case_of_the_domain() -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    domain = page.partition("\ndomain/ ")[2].partition("\nadapters/ ")[0]
    listed = set(re.findall(r"^  ([\w.]+)/? ", domain, re.MULTILINE))
    there = {path.name for path in (REPOSITORY / "domain").iterdir() if not path.name.startswith("_")}
    assert listed == there


def test_hooks_are_those_of_this_repository_alone() -> None:
    assert [repository["repo"] for repository in HOOKS["repos"]] == ["local"]
    (local,) = HOOKS["repos"]
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    assert [hook["entry"].split()[0] for hook in local["hooks"]] == [
        ".venv/bin/ruff",
        ".venv/bin/ruff",
        "make",
    ]


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([\w-]+)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, page.name
