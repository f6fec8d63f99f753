"""Commands around the mounting of file systems."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*command: str | Path) -> None:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
