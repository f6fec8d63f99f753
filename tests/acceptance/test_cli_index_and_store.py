"""An index and a store that don't belong together, and an index of another network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_calls import Call

STORED = [f"imported/7/60/{y}" for y in range(4)]
UNKNOWN = [f"satellite_provider/7/60/{y}" for y in range(4)]


@pytest.fixture
def filled(call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]) -> None:
    xyz_folder(count=4)
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0


def described(*tiles: str) -> str:
    descriptors = np.random.default_rng(5).normal(size=(len(tiles), 16)).astype(np.float32)
    np.savez("d.npz", tiles=list(tiles), descriptors=descriptors)
    return "d.npz"


@pytest.mark.usefixtures("filled")
def test_an_index_without_a_stored_tile_is_refused_by_build_and_told_by_status_and_verify(call: Call) -> None:
    refused = call("index", "build", described(*UNKNOWN), "--model", "net")
    said = "none of the 4 indexed tiles is in the store, for instance satellite_provider/7/60/0"
    assert refused.code == 1
    assert refused.error.startswith(f"{said}: every lookup would come back empty — ingest the tiles")
    assert call("status", "--json").json["index"]["generation"] is None
    assert call("index", "build", "d.npz", "--model", "net", "--no-store-check").code == 0
    for command in ("status", "verify"):
        told = call(command, "--json")
        assert told.code == 1
        assert said in told.err
        facts = told.json["index" if command == "status" else "index_agreement"]
        assert (facts["indexed_tiles"], facts["unknown_tiles"]) == (4, 4)


@pytest.mark.usefixtures("filled")
def test_indexed_tiles_that_are_not_stored_are_counted_by_build_status_and_verify(call: Call) -> None:
    built = call(
        "index", "build", described(*STORED[:3], *UNKNOWN[:2], STORED[0]), "--model", "net", "--json"
    )
    assert built.code == 0
    said = "2 of 5 indexed tiles are not in the store: satellite_provider/7/60/0, satellite_provider/7/60/1"
    assert said in built.err
    assert (built.json["count"], built.json["indexed_tiles"], built.json["unknown_tiles"]) == (6, 5, 2)
    verified = call("verify")
    assert verified.code == 0
    assert said in verified.out
    assert call("verify", "--json").json["index_agreement"]["unknown_listed"] == UNKNOWN[:2]
    assert call("status", "--json").json["index"]["unknown_tiles"] == 2
    call("delete", STORED[2])
    assert call("status", "--json").json["index"]["unknown_tiles"] == 3


@pytest.mark.usefixtures("filled")
def test_where_all_indexed_tiles_are_stored_none_is_unknown(call: Call) -> None:
    built = call("index", "build", described(*STORED), "--model", "net", "--json")
    assert (built.code, built.json["unknown_tiles"], built.json["undescribed_tiles"]) == (0, 0, 0)
    assert "in the store" not in built.err
    assert "0 of 4 indexed tiles are not in the store\n" in call("verify").out


@pytest.mark.usefixtures("filled")
def test_stored_tiles_without_a_descriptor_are_counted_by_build_status_and_verify(call: Call) -> None:
    built = call("index", "build", described(STORED[1], STORED[1]), "--model", "net", "--json")
    assert built.code == 0
    left = ", ".join([STORED[0], *STORED[2:]])
    said = f"3 stored tiles have no descriptor, and no search finds them: {left}"
    assert f"warning: {said}\n" in built.err
    assert (built.json["undescribed_tiles"], len(built.json["undescribed_listed"])) == (3, 3)
    assert f"{said}\n" in call("verify").out
    assert call("status", "--json").json["index"]["undescribed_tiles"] == 3


@pytest.mark.usefixtures("filled")
def test_descriptors_that_do_not_say_of_which_bytes_they_are_are_built_and_that_is_said(call: Call) -> None:
    said = "does not say from which bytes its descriptors were made (sha256)"
    built = call("index", "build", described(*STORED), "--model", "net", "--json")
    assert (built.code, built.json["contents_compared"]) == (0, False)
    assert built.err.startswith(f"warning: d.npz {said}")
    kept = call("index", "build", "--json")
    assert (kept.code, kept.json["contents_compared"]) == (0, False)
    assert kept.err.startswith(f"warning: the index it was built from {said}")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("digests", "said"),
    [
        (["ab" * 32] * 3, "sha256 must be 4 texts, it is <U64 of shape (3,)"),
        ([[7] * 32] * 4, "sha256 must be 4 texts, it is int64 of shape (4, 32)"),
        (["ab" * 32, "AB" * 32, "ab" * 32, "ab" * 32], "sha256[1] must be 64 lower-case hexadecimal digits"),
        (["ab" * 32, "ab" * 32, "ab" * 31, "ab" * 32], "sha256[2] must be 64 lower-case hexadecimal digits"),
    ],
)
def test_digests_that_are_none_are_refused_by_row(call: Call, digests: list[object], said: str) -> None:
    rows = np.random.default_rng(5).normal(size=(4, 16)).astype(np.float32)
    np.savez("d.npz", tiles=STORED, descriptors=rows, sha256=np.array(digests))
    refused = call("index", "build", "d.npz", "--model", "net")
    assert (refused.code, said in refused.error) == (2, True)
    assert call("status", "--json").json["index"]["generation"] is None


@pytest.mark.usefixtures("filled")
def test_an_index_of_another_network_is_refused(call: Call) -> None:
    assert call("index", "build", described(*STORED), "--model", "net").code == 0
    np.save("q.npy", np.zeros(16, np.float32))
    other = {"AEROTILE_INDEX_DESCRIPTOR_MODEL": "other"}
    for command in (["search", "q.npy"], ["status"]):
        refused = call(*command, **other)
        assert refused.code == 1
        assert "holds descriptors of 'net', the configured network is 'other'" in refused.err
    built = call("index", "build", "d.npz", "--model", "net", **other)
    assert built.code == 1
    assert "these are descriptors of 'net', the configured network is 'other'" in built.error
    assert call("search", "q.npy", AEROTILE_INDEX_DESCRIPTOR_MODEL="net").code == 0


@pytest.mark.usefixtures("filled")
def test_a_rollback_to_an_index_of_another_network_is_refused(call: Call) -> None:
    for model in ("net", "other"):
        assert call("index", "build", described(*STORED), "--model", model).code == 0
    refused = call("index", "rollback", AEROTILE_INDEX_DESCRIPTOR_MODEL="other")
    assert refused.code == 1
    assert "holds descriptors of 'net'" in refused.error
    assert call("index", "info", "--json").json["descriptor_model"] == "other"
