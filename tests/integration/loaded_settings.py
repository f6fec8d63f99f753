"""Settings as they are loaded, and why they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from aerotile.adapters.config.loader import load_config
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.domain.errors import ConfigurationError

PASSWORD = "hunter2-very-secret"


def load(folder: Path, toml: str | None = None, **environment: str) -> AerotileConfig:
    if toml is not None:
        (folder / "aerotile.toml").write_text(toml)
    return load_config(environment=environment, folder=folder)


def refusal(folder: Path, toml: str | None = None, **environment: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, toml, **environment)
    assert "\n" not in f"{caught.value} {caught.value.remedy}"
    return caught.value
