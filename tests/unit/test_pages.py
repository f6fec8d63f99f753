"""Every page of the repository: it renders, its links lead somewhere, and the files that it names exist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", ".github/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
FOLDERS = ("adapters", "bench", "docs", "domain", "examples", "ext", "migrations", "tests")
NAMED_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
ANCHORED = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def prose(text: str) -> list[str]:
    """The lines of a page, those of code blocks emptied."""
    lines, inside = [], False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        lines.append("```" if fence else "" if inside else line)
        inside ^= fence
    assert not inside, "a code block has no end"
    return lines


def faults_of(text: str) -> Iterator[str]:
    """What a renderer would show otherwise than it was meant."""
    lines = ["", *prose(text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text), ""]
    for number in range(1, len(lines) - 1):
        before, line, after = lines[number - 1 : number + 2]
        if re.match(r"#+\s", line) and (before or after):
            yield f"no empty line around the heading {line!r}"
        if re.match(r"#+[^#\s]", line):
            yield f"no space in the heading {line!r}"
        if line.startswith("|"):
            yield from _faults_of_row(lines, number)
        elif before.startswith("|") and line:
            yield f"no empty line after the table in front of {line!r}"


def _faults_of_row(lines: list[str], number: int) -> Iterator[str]:
    first = number
    while lines[first - 1].startswith("|"):
        first -= 1
    if first == number:
        if lines[number - 1]:
            yield f"no empty line in front of the table {lines[number]!r}"
        if not re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", lines[number + 1]):
            yield f"no rule below the table's head {lines[number]!r}"
    if _cells(lines[number]) != _cells(lines[first]):
        yield f"{_cells(lines[number])} cells in place of {_cells(lines[first])}: {lines[number]!r}"


def _cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def dead_links_of(page: Path) -> list[str]:
    targets = LINK.findall("\n".join(prose(page.read_text("utf-8"))))
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def anchors_of(page: Path) -> set[str]:
    """The fragments that lead to a heading, as GitHub names them."""
    anchors: set[str] = set()
    headings: Counter[str] = Counter()
    for line in prose(page.read_text("utf-8")):
        heading = re.fullmatch(r"#+\s+(.*?)\s*", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            number = headings[name]
            headings[name] += 1
            anchors.add(f"{name}-{number}" if number else name)
    return anchors


def dead_fragments_of(page: Path) -> list[str]:
    """The links to a heading that its page has not."""
    links = ANCHORED.findall("\n".join(prose(page.read_text("utf-8"))))
    return [
        f"{target}#{fragment}"
        for target, fragment in links
        if "://" not in target
        and (not target or target.endswith(".md"))
        and fragment not in anchors_of(page.parent / target if target else page)
    ]


def missing_files_of(page: Path) -> list[str]:
    return [name for name in NAMED_FILE.findall(page.read_text("utf-8")) if not (REPOSITORY / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_headings_and_tables_render(page: Path) -> None:
    assert [*faults_of(page.read_text("utf-8"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere_and_named_files_exist(page: Path) -> None:
    assert dead_links_of(page) == []
    assert dead_fragments_of(page) == []
    assert missing_files_of(page) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("text\n## Heading\n\ntext", "no empty line around the heading '## Heading'"),
        ("#Heading\n\ntext", "no space in the heading '#Heading'"),
        ("text\n| a |\n|---|\n", "no empty line in front of the table '| a |'"),
        ("| a |\n| b |\n", "no rule below the table's head '| a |'"),
        ("| a | b |\n|---|---|\n| `c | d` | e |\n", "3 cells in place of 2: '| `c | d` | e |'"),
        ("| a |\n|---|\ntext", "no empty line after the table in front of 'text'"),
    ],
)
def test_what_does_not_render_is_seen(text: str, fault: str) -> None:
    assert fault in [*faults_of(text)]
    assert [*faults_of(f"```text\n{text}\n```")] == []


def test_a_link_to_no_heading_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The `one` page\n\n## A\n\n## A\n\n[a](#the-one-page) [b](page.md#a-1) [c](#b) [d](page.md#a-2)\n"
    )
    assert dead_fragments_of(page) == ["#b", "page.md#a-2"]
