"""A folder under a temporary name, beside writers that come and go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.files import temporary_file
from aerotile.adapters.files.temporary_file import temporary_folder


def test_a_folder_that_another_writer_removes_before_it_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, opened = tmp_path / ".out.partial", os.open
    left = [None]

    def removed_first(path: Any, *arguments: Any, **options: Any) -> int:
        if path == partial and left:
            left.pop()
            partial.rmdir()  # as the writer before does at its end
        return opened(path, *arguments, **options)

    monkeypatch.setattr(temporary_file.os, "open", removed_first)
    with temporary_folder(partial, 0o755, target=tmp_path / "out"):
        assert partial.is_dir()
        assert not left
    assert list(tmp_path.iterdir()) == []
