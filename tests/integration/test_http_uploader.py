"""`HttpTileUploader` against the reference provider: what travels, what is trusted, what is never shown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.http.client import ProviderAddress
from aerotile.adapters.http.uploader import HttpTileUploader
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.errors import ConfigurationError
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.values.upload_reports import BatchOutcome, ProblemKind, UploadBatchReport, UploadRequest

TOKEN = "t0ps3cr3t-t0k3n"
NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
MIB = 1 << 20


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(tmp_path / "provider", Secret(TOKEN)) as running:
        yield running


def upload(
    cache: Any, url: str, *, limits: BatchLimits | None = None, parallel: int = 2, **address: Any
) -> UploadBatchReport:
    settings = {"token": Secret(TOKEN)} | address
    with HttpTileUploader(
        ProviderAddress(url=url, **settings),
        tiles=cache.rows,
        store=cache,
        ledger=cache.ledger,
        clock=ManualClock(NOON),
        limits=limits,
        parallel=parallel,
    ) as uploader:
        return uploader.upload_pending_tiles(UploadRequest())


def test_the_provider_gets_every_fact_about_a_tile(
    provider: ReferenceProvider, memory_cache: Callable[..., Any], tmp_path: Path
) -> None:
    cache = memory_cache(2)
    assert upload(cache, provider.url).outcome is BatchOutcome.SUCCESS
    for row in cache.rows.committed():
        facts = json.loads((tmp_path / "provider" / "tiles" / f"{row.tile_uuid}.json").read_bytes())
        assert facts["idempotency_key"] == f"{row.tile_uuid}:{row.content_sha256}"
        assert datetime.fromisoformat(facts["captured_at"]) == row.captured_at
        assert (facts["ground_sample_distance"], facts["tile_size_pixels"]) == (0.59, 256)
        if row.quality is not None:
            assert facts["quality"]["inlier_count"] == row.quality.inlier_count
        else:
            assert facts["quality"] is None


def test_batches_are_as_large_as_the_provider_allows(
    provider: ReferenceProvider, memory_cache: Callable[..., Any]
) -> None:
    cache = memory_cache(300)
    assert upload(cache, provider.url).accepted == 300
    assert provider.requests() == 2


def test_memory_stays_bounded_by_the_batches_under_way(
    memory_cache: Callable[..., Any], tmp_path: Path
) -> None:
    # In a process of its own, so that only what the client holds is counted.
    serve = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aerotile.adapters.provider.server import ReferenceProvider\n"
        "from aerotile.adapters.config.secret import Secret\n"
        "with ReferenceProvider(Path(sys.argv[1]), Secret(sys.argv[2])) as provider:\n"
        "    print(provider.url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", serve, str(tmp_path), TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        upload(memory_cache(1), url)  # imports and connects
        cache = memory_cache(100, MIB // 2)
        tracemalloc.start()
        assert upload(cache, url, limits=BatchLimits(max_bytes=4 * MIB)).accepted == 99
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        process.communicate()
    assert peak < 2 * 4 * MIB


def test_a_token_that_the_provider_does_not_know_fails_and_is_shown_nowhere(
    provider: ReferenceProvider, memory_cache: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    cache = memory_cache(3)
    with caplog.at_level(logging.DEBUG):
        report = upload(cache, provider.url, token=Secret("wr0ng-s3cr3t"))
    assert report.outcome is BatchOutcome.FAILURE
    assert report.problem is not None
    assert (report.problem.kind, report.problem.reason.code) == (ProblemKind.REFUSED, "http_401")
    assert "token" in (report.problem.remedy or "")
    assert cache.pending == [0, 1, 2]
    assert "wr0ng" not in f"{report} {caplog.text} {cache.ledger.entries}"


def test_an_address_shows_its_place_and_hides_its_token() -> None:
    address = ProviderAddress(url="https://provider.example:8443/maps", token=Secret(TOKEN))
    assert address.place == "https://provider.example:8443"
    assert TOKEN not in f"{address!r} {address}"


def test_no_address_is_logged(
    provider: ReferenceProvider, memory_cache: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        upload(memory_cache(1), provider.url)
    assert provider.url not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith(("httpx", "httpcore"))]


def test_proxies_of_the_environment_are_used_only_when_that_is_asked_for(
    provider: ReferenceProvider, memory_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert upload(memory_cache(1), provider.url).outcome is BatchOutcome.SUCCESS
    report = upload(memory_cache(1), provider.url, trust_env=True)
    assert report.problem is not None
    assert report.problem.kind is ProblemKind.UNREACHABLE


def test_a_provider_is_trusted_by_the_named_authority(
    memory_cache: Callable[..., Any], certificates: Any, tmp_path: Path
) -> None:
    with ReferenceProvider(tmp_path, Secret(TOKEN), certificate=certificates["good"]) as provider:
        report = upload(memory_cache(2), provider.url, ca_file=certificates["authority"])
    assert report.outcome is BatchOutcome.SUCCESS


@pytest.mark.parametrize(
    ("served", "trusted"),
    [
        ("good", "stranger"),
        ("good", None),
        ("expired", "authority"),
        ("foreign", "authority"),
        ("misnamed", "authority"),
    ],
)
def test_a_provider_with_another_certificate_gets_nothing(
    memory_cache: Callable[..., Any], certificates: Any, tmp_path: Path, served: str, trusted: str | None
) -> None:
    cache = memory_cache(2)
    with ReferenceProvider(tmp_path, Secret(TOKEN), certificate=certificates[served]) as provider:
        report = upload(cache, provider.url, ca_file=trusted and certificates[trusted])
        assert provider.requests() == 0
    assert report.problem is not None
    assert (report.problem.kind, report.problem.reason.code) == (ProblemKind.REFUSED, "certificate_refused")
    assert cache.pending == [0, 1]


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_that_holds_no_authority_is_a_matter_of_configuration(
    memory_cache: Callable[..., Any], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"ca\.pem can't be used"):
        upload(memory_cache(1), "https://127.0.0.1:9", ca_file=path)


def test_a_host_that_does_not_exist_is_named(memory_cache: Callable[..., Any]) -> None:
    report = upload(memory_cache(1), "https://provider.invalid")
    assert report.problem is not None
    assert report.problem.kind is ProblemKind.UNREACHABLE
    assert "https://provider.invalid: " in report.problem.reason.detail
