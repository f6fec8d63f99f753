"""The program, called over a database and a folder of each test's own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_content import Answer

from aerotile.adapters.cli import main


@pytest.fixture
def call(
    tmp_path: Path, migrated_database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Call the program over a database and a folder of this test's own."""
    root_logger = logging.getLogger()
    level, handlers = root_logger.level, root_logger.handlers[:]
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    for name in [name for name in os.environ if name.startswith("AEROTILE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEROTILE_DATABASE_DSN", migrated_database)
    (tmp_path / "aerotile-data").mkdir(0o750)

    def run(*arguments: object, **environment: str) -> Answer:
        with monkeypatch.context() as patch:
            for name, text in environment.items():
                patch.setenv(name, text)
            capfd.readouterr()
            code = main([str(argument) for argument in arguments])
            return Answer(code, *capfd.readouterr())

    yield run
    root_logger.setLevel(level)
    root_logger.handlers[:] = handlers
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)
