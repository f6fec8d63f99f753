"""Damage to aerotile.toml and the token's file: settings, or one line that names it and shows no secret."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from damages import (
    EMPTIED,
    LINK_TO_COPY,
    REPLACEMENTS,
    Damage,
    flip,
    obeying_file_modes,
    of_content,
    rewrite,
    truncated,
)
from fault_tally import FaultTally

from aerotile.adapters.config.loader import DEFAULT_FILE, read_config
from aerotile.adapters.config.settings import UploadConfig, settings
from aerotile.adapters.config.upload_token import read_upload_token
from aerotile.domain.errors import ConfigurationError

EACH = int(os.environ.get("TEST_DAMAGES", "200"))
SECRET = "s3cr3t-w0rd"
GOOD = f"""
root = "data"
[database]
dsn = "postgresql://flight:{SECRET}@db.example/tiles"
connect_timeout_s = 2.5
[budget]
max_bytes = "64 GiB"
eviction_batch_size = 32
[index]
metric = "l2"
warm_up = false
[upload]
url = "https://provider.example"
token = "{SECRET}"
"""
VALUES = [
    "-1",
    "0",
    "1e400",
    "nan",
    "-inf",
    '""',
    '"x"',
    "true",
    "[]",
    "{}",
    "9" * 400,
    "9" * 5000,
    "1979-05-27",
]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + EACH // 10)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / DEFAULT_FILE
    path.write_text(GOOD)
    return path


def assert_settings_or_one_line(folder: Path) -> bool:
    """Whether it can be read; if not, the error is of the tree, on one line, and shows no secret."""
    refusals: list[ConfigurationError] = []
    try:
        read_config(environment={}, folder=folder)
    except ConfigurationError as error:
        refusals.append(error)
    for refusal in refusals:
        assert "\n" not in str(refusal).strip()
        assert SECRET not in f"{refusal} {refusal.remedy}"
    return not refusals


def test_flips_and_cuts_end_in_settings_or_one_line(file: Path, fault_tally: FaultTally) -> None:
    good = GOOD.encode()
    chance = random.Random(8)
    damages = [*of_content(len(good), chance, each=EACH), EMPTIED]
    damages += [flip(place, chance.randrange(8)) for place in range(len(good))]
    damages += [truncated(length) for length in range(len(good))]
    refused = 0
    for damage in damages:
        damage.act(file)
        refused += not assert_settings_or_one_line(file.parent)
        rewrite(file, good)
    assert refused > len(damages) // 3
    fault_tally.add("damage: configuration", len(damages))


def test_every_key_takes_every_wrong_value_with_one_line(file: Path, fault_tally: FaultTally) -> None:
    runs = 0
    for setting in settings():
        for value in VALUES:
            section = "" if setting.section is None else f"[{setting.section}]\n"
            rewrite(file, f"{section}{setting.key} = {value}\n".encode())
            assert_settings_or_one_line(file.parent)
            runs += 1
    fault_tally.add("damage: configuration", runs)


@pytest.mark.parametrize("damage", REPLACEMENTS, ids=str)
def test_what_stands_in_its_place_is_refused_at_once(
    file: Path, damage: Damage, fault_tally: FaultTally
) -> None:
    damage.act(file)
    if damage is LINK_TO_COPY:  # the operator's own choice
        assert assert_settings_or_one_line(file.parent)
    else:
        with pytest.raises(ConfigurationError) as refused:
            read_config(environment={}, folder=file.parent)
        assert str(file) in str(refused.value)
        assert "root:" not in str(refused.value), "what a link leads to is not shown"
    fault_tally.add("damage: configuration", 1)


@pytest.mark.parametrize("damage", [*REPLACEMENTS, EMPTIED], ids=str)
def test_what_stands_in_the_token_s_place_is_refused_at_once(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "token"
    path.write_text(SECRET)
    damage.act(path)
    upload = UploadConfig(token_file=path)
    if damage is LINK_TO_COPY:
        assert read_upload_token(upload).reveal() == SECRET
    else:
        with pytest.raises(ConfigurationError) as refused:
            read_upload_token(upload)
        assert SECRET not in str(refused.value)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["mode", "pipe", "folder", "endless device"])
def test_the_command_ends_with_one_line(file: Path, name: str) -> None:
    if name == "mode":
        file.chmod(0)
    else:
        found = [damage for damage in REPLACEMENTS if damage.name == name]
        if not found:
            pytest.skip("only root can make a device")
        found[0].act(file)
    ended = subprocess.run(
        obeying_file_modes([sys.executable, "-m", "aerotile.adapters.cli", "status"]),
        cwd=file.parent,
        env={k: v for k, v in os.environ.items() if not k.startswith("AEROTILE_")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: can't read configuration file")
    assert ended.stderr.count("\n") == 1
