"""`aerotile describe`: what a flight sees is found by what was described, and nothing is left out unsaid."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from archives import Place, write_mbtiles
from build_site import noise
from cli_calls import BAD_CALL, JOB_FAILED, Call
from PIL import Image
from small_networks import STEPS, SmallNetwork

import aerotile

SIZE = 16
COUNT = 300  # more than a block
NETWORK = SmallNetwork.drawn(7)
FLIGHT = {"AEROTILE_DESCRIPTOR_MODEL": "network.onnx"}
UNSIGNED_BASE = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
CALLABLE = """
import hashlib, os
import numpy as np

calls = 0

def describe(pictures):
    global calls
    calls += 1
    if calls > int(os.environ.get("MOST_CALLS", "1000")):
        raise OSError("the power went")
    half = pictures.shape[1] // 2
    halves = [pictures[:, :half], pictures[:, half:], pictures[:, :, :half], pictures[:, :, half:]]
    return np.concatenate([each.mean(axis=(1, 2), dtype=np.float32) for each in halves], axis=1)

describe.digest = hashlib.sha256(b"halves").hexdigest()
"""


TILES: dict[Place, bytes] = {(12, 2170 + n % 20, 1420 + n // 20): noise(n) for n in range(COUNT)}


@pytest.fixture
def filled(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command over a store that holds `TILES`, beside two networks."""
    monkeypatch.setenv("AEROTILE_TILES_TILE_SIZE_PIXELS", str(SIZE))
    write_mbtiles(tmp_path / "in.mbtiles", TILES)
    assert call("provision", "in.mbtiles", "--captured-at", "2026-05-01").code == 0
    NETWORK.save(tmp_path / "network.onnx", STEPS | {"name": "net-12"})
    name = f"halves_{os.urandom(4).hex()}"  # a module is imported once in a process
    (tmp_path / f"{name}.py").write_text(CALLABLE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HALVES", f"{name}:describe")
    return call


def picture_of(place: Place) -> npt.NDArray[np.uint8]:
    """The tile's pixels by another decoder."""
    return np.asarray(Image.open(io.BytesIO(TILES[place])).convert("RGB"))


def described(file: str) -> dict[str, Any]:
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def tile_file(tmp_path: Path, place: Place) -> Path:
    zoom, x, y = place
    return tmp_path / f"aerotile-data/tiles/imported/{zoom}/{x}/{y}.jpg"


def name_of(place: Place) -> str:
    return "imported/{}/{}/{}".format(*place)


def test_a_frame_finds_its_tile_by_the_network_that_described_it(filled: Call) -> None:
    made = filled("describe", "d.npz", "--model", "network.onnx", "--json")
    assert (made.code, made.err) == (0, "")
    arrays = described("d.npz")
    model = made.json["model"]
    assert (str(arrays["model"]), str(arrays["model_sha256"])) == (model, made.json["model_sha256"])
    assert model == f"net-12-{made.json['model_sha256'][:16]}"
    assert made.json | {"model": "", "model_sha256": ""} == {
        "file": "d.npz",
        "model": "",
        "model_sha256": "",
        "headings": [0],
        "tiles": COUNT,
        "descriptors": COUNT,
        "dimension": 12,
        "taken_over": 0,
        "left_out": {},
        "left_out_of_area": {},
        "refused": {},
    }
    assert sorted(arrays["tiles"].tolist()) == sorted(map(name_of, TILES))
    by_tile = dict(zip(arrays["tiles"].tolist(), arrays["descriptors"], strict=True))
    for place in list(TILES)[::37]:
        expected = NETWORK.by_numpy(picture_of(place)[np.newaxis])[0]
        # Two decoders differ by a grey level here and there.
        np.testing.assert_allclose(by_tile[name_of(place)], expected, atol=0.05)
    assert filled("index", "build", "d.npz").code == 0
    assert filled("index", "info", "--json").json["descriptor_model"] == model
    config = aerotile.load_config(environment={**os.environ, **FLIGHT})
    network = aerotile.build_descriptor_model(config)
    assert (network.name, network.headings) == (model, (0,))
    assert aerotile.build_descriptor_model(config) is network
    index = aerotile.build_descriptor_index(config)
    try:
        for place in list(TILES)[::37]:
            (hit,) = index.search(network.describe(picture_of(place)[np.newaxis])[0], 1)
            assert str(hit.tile_id) == name_of(place)
    finally:
        aerotile.close_runtimes()


def test_descriptors_of_a_tile_that_was_replaced_since_are_refused_by_name(
    filled: Call, tmp_path: Path
) -> None:
    assert filled("describe", "d.npz", "--model", "network.onnx", "--headings", "0,90").code == 0
    built = filled("index", "build", "d.npz", "--json")
    assert (built.code, built.err, built.json["contents_compared"]) == (0, "", True)
    generation = built.json["generation"]
    replaced = list(TILES)[7]
    write_mbtiles(tmp_path / "newer.mbtiles", {replaced: noise(4711)})
    brought = filled("provision", "newer.mbtiles", "--captured-at", "2026-06-01", "--replace")
    assert brought.code == 0
    refused = filled("index", "build", "d.npz")
    assert refused.code == JOB_FAILED
    assert refused.error == (
        f"d.npz describes other bytes than the store holds of 1 tile: {name_of(replaced)} — describe the "
        "tiles anew (aerotile describe): these were replaced since"
    )
    assert filled("index", "info", "--json").json["generation"] == generation
    assert filled("describe", "anew.npz", "--model", "network.onnx").code == 0
    assert filled("index", "build", "anew.npz", "--json").json["contents_compared"] is True


def test_an_index_of_another_network_is_refused_wherever_it_is_opened(filled: Call, tmp_path: Path) -> None:
    assert filled("describe", "d.npz", "--model", "network.onnx").code == 0
    contrary = filled("index", "build", "d.npz", "--model", "megaloc")
    assert contrary.code == BAD_CALL
    assert "d.npz has descriptors of 'net-12-" in contrary.error
    assert filled("index", "build", "d.npz", **FLIGHT).code == 0
    SmallNetwork.drawn(8).save(tmp_path / "network.onnx", STEPS | {"name": "net-12"})
    np.save("q.npy", np.zeros(12, np.float32))
    for command in (["status"], ["search", "q.npy"]):
        refused = filled(*command, **FLIGHT)
        assert refused.code == JOB_FAILED
        assert "holds descriptors of 'net-12-" in refused.err
        assert "the configured network is 'net-12-" in refused.err
    named = filled("search", "q.npy", AEROTILE_INDEX_DESCRIPTOR_MODEL="megaloc", **FLIGHT)
    assert named.code == BAD_CALL
    assert "index.descriptor_model is 'megaloc', and the network of [descriptor] is 'net-12-" in named.error


def test_a_network_that_can_not_be_used_is_a_failure_of_the_index_and_of_nothing_else(
    filled: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filled("describe", "d.npz", "--model", "network.onnx").code == 0
    assert filled("index", "build", "d.npz").code == 0
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = filled("status", "--json", **FLIGHT)
    assert (told.code, told.json["tiles"]["count"]) == (JOB_FAILED, COUNT)
    assert "network.onnx needs onnxruntime" in told.json["index"]["error"]
    assert filled("verify", **FLIGHT).code == 0
    (tmp_path / "network.onnx").unlink()
    assert "can't read" in filled("status", "--json", **FLIGHT).json["index"]["error"]


def test_a_file_that_does_not_say_its_network_needs_the_option(filled: Call) -> None:
    np.savez("d.npz", tiles=[name_of(next(iter(TILES)))], descriptors=np.ones((1, 4), np.float32))
    refused = filled("index", "build", "d.npz")
    assert (refused.code, "does not say which network made it" in refused.error) == (BAD_CALL, True)


def test_a_turned_frame_finds_its_tile_among_several_headings(filled: Call) -> None:
    halves = os.environ["HALVES"]
    made = filled("describe", "d.npz", "--with", halves, "--headings", "0,90,180,270", "--json")
    assert (made.json["headings"], made.json["tiles"], made.json["descriptors"]) == (
        [0, 90, 180, 270], COUNT, 4 * COUNT,
    )  # fmt: skip
    arrays = described("d.npz")
    place = list(TILES)[123]
    rows = arrays["descriptors"][arrays["tiles"] == name_of(place)]
    picture = picture_of(place).astype(np.float32)
    top, bottom, left, right = picture[:8], picture[8:], picture[:, :8], picture[:, 8:]
    # What lies ahead is up: a camera that heads east sees the east on top and the north on the left.
    for row, halves_seen in zip(
        rows,
        [(top, bottom, left, right), (right, left, top, bottom),
         (bottom, top, right, left), (left, right, bottom, top)],
        strict=True,
    ):  # fmt: skip
        expected = np.concatenate([half.mean(axis=(0, 1)) for half in halves_seen])
        np.testing.assert_allclose(row, expected, atol=0.5)


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(filled: Call) -> None:
    halves, options = os.environ["HALVES"], ("--batch", "64")
    assert filled("describe", "whole.npz", "--with", halves, *options).code == 0  # 2 to try it, 4 and 1
    broken = filled("describe", "d.npz", "--with", halves, *options, MOST_CALLS="13")
    assert (broken.code, "the power went" in broken.error) == (JOB_FAILED, True)
    assert not Path("d.npz").exists()
    resumed = filled("describe", "d.npz", "--with", halves, *options, "--json")
    assert (resumed.code, resumed.json["taken_over"], resumed.json["tiles"]) == (0, 256, COUNT)
    assert Path("d.npz").read_bytes() == Path("whole.npz").read_bytes()
    assert not Path("d.npz.partial").exists()


def test_a_run_of_another_job_is_refused_and_says_in_what_it_differs(filled: Call, tmp_path: Path) -> None:
    halves = os.environ["HALVES"]
    assert filled("describe", "d.npz", "--with", halves, MOST_CALLS="2").code == JOB_FAILED
    for options, differs in (
        (("--with", halves, "--headings", "90"), "headings"),
        (("--with", halves, "--batch", "64"), "batch"),
        (("--with", halves, "--area", "11.3,48.1,11.4,48.2"), "tiles_sha256"),
        (("--model", "network.onnx"), "model, model_sha256"),
    ):
        refused = filled("describe", "d.npz", *options)
        assert refused.code == JOB_FAILED
        assert f"blocks of another job (it differs in {differs}) — remove the folder" in refused.error
    (tmp_path / "d.npz.partial/job.json").write_text("{")
    damaged = filled("describe", "d.npz", "--with", halves)
    assert (damaged.code, "job.json is damaged" in damaged.error) == (JOB_FAILED, True)


def test_tiles_without_a_descriptor_are_counted_by_reason_and_fail_the_run(
    filled: Call, tmp_path: Path
) -> None:
    damaged, missing, recalled = (list(TILES)[n] for n in (3, 4, 299))
    tile_file(tmp_path, damaged).unlink()
    tile_file(tmp_path, damaged).write_bytes(noise(999))
    tile_file(tmp_path, missing).unlink()
    assert filled("base", "keygen", "recall.key").code == 0
    pinned = {"AEROTILE_RECALL_PUBLIC_KEYS": Path("recall.key.pub").read_text().strip()}
    digest = hashlib.sha256(TILES[recalled]).hexdigest()
    made = ("recall", "make", "list.json", "--number", "1", "--reason", "forged", "--digest", digest)
    for command in (
        made,
        ("recall", "sign", "list.json", "--key", "recall.key"),
        ("recall", "apply", "list.json"),
    ):
        assert filled(*command, **pinned).code == 0
    result = filled("describe", "d.npz", "--model", "network.onnx", "--json", **pinned)
    assert result.code == JOB_FAILED
    assert result.json["refused"] == {"damaged": 1, "missing": 1, "recalled": 1}
    assert (result.json["tiles"], result.json["descriptors"]) == (COUNT - 3, COUNT - 3)
    assert "3 tiles have no descriptor in d.npz: 1 damaged, 1 missing, 1 recalled; such as" in result.err
    assert f"{name_of(damaged)} (damaged)" in result.err
    left = set(described("d.npz")["tiles"].tolist())
    assert left == {name_of(place) for place in TILES if place not in (damaged, missing, recalled)}


def test_a_tile_that_came_back_is_described_when_a_run_goes_on(filled: Call, tmp_path: Path) -> None:
    halves = os.environ["HALVES"]
    assert filled("describe", "whole.npz", "--with", halves).code == 0  # 2 calls of the trial, and 10
    first = tmp_path / f"aerotile-data/tiles/{described('whole.npz')['tiles'][0]}.jpg"
    away = first.rename(tmp_path / "away.jpg")
    assert filled("describe", "d.npz", "--with", halves, MOST_CALLS="22").code == JOB_FAILED
    assert [path.suffix for path in Path("d.npz.partial").glob("0*")] == [".again"]
    away.rename(first)
    assert filled("describe", "d.npz", "--with", halves).code == 0
    assert Path("d.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_the_sealed_base_gives_the_same_file_as_its_store(filled: Call, tmp_path: Path) -> None:
    assert filled("base", "seal", "--no-index").code == 0
    assert filled("base", "switch", **UNSIGNED_BASE).code == 0
    for name, options in (("store.npz", ()), ("base.npz", ("--base",))):
        made = filled("describe", name, "--model", "network.onnx", *options, **UNSIGNED_BASE)
        assert made.code == 0, made.err
    assert Path("base.npz").read_bytes() == Path("store.npz").read_bytes()
    archive = next((tmp_path / "aerotile-data/base").rglob("tiles.pmtiles"))
    content = bytearray(archive.read_bytes())
    place = list(TILES)[77]
    at = content.index(TILES[place])
    content[at + 200] ^= 1
    archive.chmod(0o644)
    archive.write_bytes(content)
    hurt = filled("describe", "hurt.npz", "--model", "network.onnx", "--base", "--json", **UNSIGNED_BASE)
    assert (hurt.code, hurt.json["refused"]) == (JOB_FAILED, {"damaged": 1})
    assert f"such as {name_of(place)} (damaged)" in hurt.err


def test_area_zoom_and_source_choose_and_what_is_left_out_is_counted(filled: Call) -> None:
    result = filled(
        "describe", "d.npz", "--model", "network.onnx", "--area", "10.8,47.9,11.0,48.1", "--json"
    ).json
    assert 0 < result["tiles"] < COUNT
    assert result["left_out"] == {"outside the area": COUNT - result["tiles"]}
    none = filled("describe", "n.npz", "--model", "network.onnx", "--zoom", "3")
    assert (none.code, f"no tile to describe ({COUNT} another zoom)" in none.error) == (BAD_CALL, True)


def test_a_call_that_can_not_be_right_is_refused_in_one_line(filled: Call, tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_bytes(b"of somebody")
    (tmp_path / "plain.py").write_text("def describe(pictures): ...\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("words")
    network = ("--model", "network.onnx")
    for arguments, code, said in (
        (("there.npz", *network), BAD_CALL, "there.npz is there, and nothing is replaced"),
        (("nowhere/d.npz", *network), BAD_CALL, "no folder"),
        (("d.npz",), BAD_CALL, "no network is configured"),
        (("d.npz", *network, "--with", "a:b"), BAD_CALL, "--model and --with name two networks"),
        (("d.npz", "--model", "words.txt"), BAD_CALL, "words.txt is no network that can be read"),
        (("d.npz", "--model", "there.npz"), BAD_CALL, "there.npz is no learned descriptor"),
        (("d.npz", "--with", "no_such_module:describe"), BAD_CALL, "can't import no_such_module:describe"),
        (("d.npz", "--with", "plain:nothing"), BAD_CALL, "can't import plain:nothing"),
        (("d.npz", "--with", "plain:describe"), BAD_CALL, "plain:describe states no digest"),
        (("d.npz", "--with", "plain"), BAD_CALL, "a callable is named MODULE:NAME"),
        (("d.npz", *network, "--headings", "0,45"), BAD_CALL, "a heading must be one of 0, 90, 180, 270"),
    ):
        result = filled("describe", *arguments)
        assert (result.code, said in result.error) == (code, True), result.err
    assert (tmp_path / "there.npz").read_bytes() == b"of somebody"
    assert list(tmp_path.glob("*.partial")) == []


def test_two_settings_that_name_a_network_are_refused(filled: Call) -> None:
    refused = filled("describe", "d.npz", AEROTILE_DESCRIPTOR_CALLABLE="a:b", **FLIGHT)
    assert refused.code == BAD_CALL
    assert "descriptor.callable must not be set beside descriptor.model" in refused.error


def test_an_answer_that_is_not_finite_ends_the_run(filled: Call, tmp_path: Path) -> None:
    (tmp_path / "network.onnx.json").write_text(
        json.dumps(STEPS | {"name": "endless", "deviation": [1e-38] * 3})
    )
    ended = filled("describe", "d.npz", "--model", "network.onnx")
    assert (ended.code, "not finite" in ended.error) == (JOB_FAILED, True)
    assert not Path("d.npz").exists()


LEARNING = """
import hashlib
import numpy as np

def describe(pictures):
    rows = pictures.mean(axis=(1, 2), dtype=np.float32)
    return rows - rows.mean(axis=0)  # over the pictures of a call

describe.digest = hashlib.sha256(b"learning").hexdigest()
"""


def test_a_network_that_was_saved_while_it_learned_is_refused_before_the_first_tile(
    filled: Call, tmp_path: Path
) -> None:
    (tmp_path / "learning_network.py").write_text(LEARNING, encoding="utf-8")
    ended = filled("describe", "d.npz", "--with", "learning_network:describe")
    assert ended.code == JOB_FAILED
    assert "describes a picture otherwise when another one is beside it" in ended.error
    assert not list(tmp_path.glob("d.npz*"))
