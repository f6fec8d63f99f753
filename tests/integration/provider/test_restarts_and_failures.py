"""The reference provider after restarts and crashes, on bad disks, and with certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from provider_requests import JPEG, TOKEN, files, frame, problem, results, send, tile_header, votes_page

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.errors import ConfigurationError, StoreUnavailableError
from aerotile.domain.values.tiles import VotingStatus


def test_a_restarted_provider_knows_its_tiles_and_votes(folder: Path) -> None:
    behaviour = Behaviour(verdict=VotingStatus.TRUSTED)
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=behaviour) as first:
        send(first, frame(1))
        votes = votes_page(first).json()
    with ReferenceProvider(folder, Secret(TOKEN)) as second:
        assert results(send(second, frame(1) + frame(2))) == ["duplicate", "accepted"]
        assert votes_page(second).json() == votes
        assert set(second.tiles.hashes()) == {UUID(tile_header(x, JPEG)["tile_uuid"]) for x in (1, 2)}


def test_what_a_crash_left_is_cleared_away(folder: Path) -> None:
    trusting = Behaviour(verdict=VotingStatus.TRUSTED)
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=trusting) as first:
        send(first, frame(1))
    held = files(folder)
    unfinished = tile_header(2, JPEG)["tile_uuid"]
    for name in (f"{unfinished}.jpg", f"{unfinished}.json.tmp", f"{unfinished}.jpg.tmp"):
        (folder / "tiles" / name).write_bytes(b"half")
    with (folder / "votes.jsonl").open("a") as votes:
        votes.write('{"tile_uuid": "5b8d0c2e')
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=trusting) as second:
        assert files(folder) == held
        assert results(send(second, frame(2))) == ["accepted"]
    with ReferenceProvider(folder, Secret(TOKEN)) as third:
        assert len(votes_page(third).json()["votes"]) == 2


def test_a_damaged_tile_is_named_at_start(folder: Path) -> None:
    with ReferenceProvider(folder, Secret(TOKEN)) as first:
        send(first, frame(1))
    (content,) = (folder / "tiles").glob("*.jpg")
    content.write_bytes(JPEG[:-1])
    with pytest.raises(StoreUnavailableError, match=f"{content.name} is damaged"):
        ReferenceProvider(folder, Secret(TOKEN))


def test_a_folder_has_one_provider_at_a_time(provider: ReferenceProvider, folder: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="in use by another provider"):
        ReferenceProvider(folder, Secret(TOKEN))


def test_a_port_that_is_taken_is_a_clear_error(provider: ReferenceProvider, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {provider.port}: "):
        ReferenceProvider(tmp_path / "other", Secret(TOKEN), port=provider.port)


def test_a_disk_that_refuses_is_answered_with_503_and_nothing_is_claimed(
    provider: ReferenceProvider, folder: Path
) -> None:
    (folder / "tiles").rename(folder / "elsewhere")
    assert problem(send(provider, frame(1))) == (503, "unavailable")
    (folder / "elsewhere").rename(folder / "tiles")
    assert results(send(provider, frame(1))) == ["accepted"]


def test_it_speaks_https_with_a_certificate(folder: Path, certificates: Any) -> None:
    trusted = ssl.create_default_context(cafile=str(certificates["authority"]))
    with ReferenceProvider(folder, Secret(TOKEN), certificate=certificates["good"]) as running:
        assert running.url.startswith("https://")
        answer = httpx.get(f"{running.url}/v1/health", verify=trusted, timeout=60)
    assert answer.json()["status"] == "ok"


def test_a_certificate_that_is_none_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"cannot use the certificate .*broken\.pem"):
        ReferenceProvider(folder, Secret(TOKEN), certificate=tmp_path / "broken.pem")
