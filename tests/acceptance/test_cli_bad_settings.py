"""Roots, settings and names that are none, one line each as a person sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, Call


def test_a_mistyped_root_is_refused_and_not_made(call: Call, tmp_path: Path) -> None:
    for command in (["status"], ["dump"], ["verify"], ["record"], ["index", "info"], ["sectors", "list"]):
        result = call("--root", "mistyped", *command)
        assert result.code == BAD_CALL
        assert result.error.startswith(f"no folder {tmp_path / 'mistyped'} — ")
    assert not (tmp_path / "mistyped").exists()


def test_an_unknown_configuration_key(call: Call, tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text("[budget]\nmax_byte = 1\n")
    result = call("status")
    assert result.code == BAD_CALL
    assert result.error == (
        f"unknown key budget.max_byte, in {tmp_path / 'aerotile.toml'} — did you mean budget.max_bytes?"
    )


def test_an_unknown_variable(call: Call) -> None:
    result = call("status", AEROTILE_BUDGET_MAX_BYTE="1")
    assert result.code == BAD_CALL
    assert result.error.startswith("unknown variable AEROTILE_BUDGET_MAX_BYTE, in the environment — ")


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("~nosuchuser/x", "root names the home of a user that is not known here"),
        ("caf\udce9", "root must be UTF-8 text"),
    ],
)
def test_a_root_that_can_be_no_folder(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], root: str, reason: str
) -> None:
    xyz_folder()
    for command in (["status"], ["ingest", "tiles", "--captured-at", days_ago(1)]):
        result = call(*command, "--root", root)
        assert result.code == BAD_CALL
        assert result.error.startswith(reason)


def test_a_root_that_can_not_be_looked_into(call: Call) -> None:
    result = call("status", "--root", "x" * 5000)
    assert result.code == BAD_CALL
    assert "x" * 5000 in result.error


def test_a_configuration_file_that_can_not_be_looked_for(call: Call) -> None:
    result = call("status", "--config", "x" * 5000)
    assert result.code == BAD_CALL
    assert "configuration file" in result.error


@pytest.mark.parametrize("option", ["--root", "--config"])
def test_a_demo_with_a_store_that_it_would_not_use(call: Call, tmp_path: Path, option: str) -> None:
    result = call("demo", option, "elsewhere")
    assert result.code == BAD_CALL
    assert result.error.endswith(" — say with --folder where it goes")
    assert not (tmp_path / "demo-output").exists()


def test_a_name_that_could_steer_the_terminal_is_shown_harmless(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    result = call("status", "--root", "no\x1b[31mwhere\n")
    assert result.code == BAD_CALL
    assert "no\\x1b[31mwhere" in result.error
    folder = xyz_folder("tiles\x1b[31m", count=2)
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"no jpeg")
    assert "\x1b" not in call("ingest", folder.name, "--captured-at", days_ago(1)).err
