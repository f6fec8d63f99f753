"""Parts that the acceptance tests share: the command `aerotile` as a person calls it, and its input."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest


@attrs.frozen
class CommandResult:
    """What a person sees of a call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one line of a failed call; fails when there is more or less than that."""
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: ")
        return self.err[len("error: ") : -1]


def _clean_environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("AEROTILE_")}


@pytest.fixture
def call(
    tmp_path: Path,
    migrated_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., CommandResult]]:
    """Call the program in this process, in a folder of its own, over a database of its own."""
    from aerotile.adapters.cli import main

    for name in set(os.environ) - set(_clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AEROTILE_DATABASE_DSN", migrated_database)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aerotile-data").mkdir()
    root_logger = logging.getLogger()
    before = (root_logger.level, root_logger.handlers[:])
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}

    def run(*arguments: object, **environment: str) -> CommandResult:
        with monkeypatch.context() as patch:
            if "AEROTILE_DATABASE_DSN" not in environment:  # its own one is there, and late on a busy machine
                patch.setenv("AEROTILE_DATABASE_CONNECT_TIMEOUT_S", "60")
            for name, text in environment.items():
                patch.setenv(name, text)
            capfd.readouterr()
            code = main([str(argument) for argument in arguments])
            out, err = capfd.readouterr()
        return CommandResult(code, out, err)

    yield run
    root_logger.setLevel(before[0])
    root_logger.handlers[:] = before[1]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def spawn_environment() -> dict[str, str]:
    """This process's variables without any that configure Aerotile."""
    return _clean_environment()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program as a process of its own, in a folder of its own, with an embedded database."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "aerotile.adapters.cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**_clean_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_process(spawn: Callable[..., subprocess.Popen[str]]) -> Callable[..., CommandResult]:
    """`spawn`, waited for."""

    def run(*arguments: object, **environment: str) -> CommandResult:
        process = spawn(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return CommandResult(process.returncode, out, err)

    return run


@pytest.fixture
def days_ago() -> Callable[[int], str]:
    """A capture time as the command line takes it. Midnight during a test changes nothing."""
    today = datetime.now(timezone.utc).date()
    return lambda days: (today - timedelta(days=days)).isoformat()


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    """A JPEG of one colour; a different `shade`, different bytes."""
    from PIL import Image

    def encode(shade: int = 0, size: tuple[int, int] = (256, 256)) -> bytes:
        stream = io.BytesIO()
        colour = (shade % 256, shade // 256 % 256, 77)
        Image.new("RGB", size, colour).save(stream, "JPEG", quality=95)
        return stream.getvalue()

    return encode


@pytest.fixture
def xyz_folder(tmp_path: Path, jpeg: Callable[..., bytes]) -> Callable[..., Path]:
    """A folder of `count` different tiles along one column of a zoom."""

    def make(name: str = "tiles", *, zoom: int = 7, x: int = 60, count: int = 4) -> Path:
        column = tmp_path / name / str(zoom) / str(x)
        column.mkdir(parents=True)
        for y in range(count):
            (column / f"{y}.jpg").write_bytes(jpeg(y))
        return tmp_path / name

    return make


@pytest.fixture
def filled(
    call: Callable[..., CommandResult],
    xyz_folder: Callable[..., Path],
    days_ago: Callable[[int], str],
    tmp_path: Path,
) -> Path:
    """The folder of the stored tiles imported/7/60/0 to 3."""
    xyz_folder()
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    return tmp_path / "aerotile-data/tiles/imported/7/60"


@pytest.fixture
def sealed(
    call: Callable[..., CommandResult], xyz_folder: Callable[..., Path]
) -> Callable[..., CommandResult]:
    """The command, in the folder of a store with one sealed generation."""
    assert call("ingest", xyz_folder(count=3), "--captured-at", "2026-05-01").code == 0
    assert call("base", "seal").code == 0
    return call


@pytest.fixture
def keys(call: Callable[..., CommandResult]) -> list[str]:
    """The public keys of `0.key` and `1.key`."""
    return [call("base", "keygen", f"{number}.key").out.strip() for number in range(2)]
