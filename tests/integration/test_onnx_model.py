"""Networks as ONNX files: the answers are those of numpy, and whatever is not stated clearly is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import external_data_helper
from packaging.requirements import Requirement
from PIL import Image
from small_networks import STEPS, SmallNetwork

from aerotile.adapters.descriptor_models.onnx_model import METADATA_KEY, OnnxModel
from aerotile.domain.errors import DescriptorModelError, RuntimeNotAvailableError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CPU = ("CPUExecutionProvider",)
NETWORK = SmallNetwork.drawn(3)
PICTURES = np.random.default_rng(4).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def opened(path: Path) -> OnnxModel:
    return OnnxModel(path, providers=CPU)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"channels_last": True}], ids=str)
def test_the_answer_is_that_of_numpy(tmp_path: Path, channels: str, options: dict[str, Any]) -> None:
    steps = STEPS | {"channels": channels}
    model = opened(NETWORK.save(tmp_path / "small.onnx", steps, **options))
    np.testing.assert_allclose(
        model.describe(PICTURES), NETWORK.by_numpy(PICTURES, steps), rtol=1e-4, atol=1e-5
    )


def test_a_network_of_half_precision_is_near_it(tmp_path: Path) -> None:
    model = opened(NETWORK.save(tmp_path / "small.onnx", half=True))
    answer = model.describe(PICTURES)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, NETWORK.by_numpy(PICTURES), atol=0.05)


def test_pictures_of_another_size_are_brought_to_the_network_without_aliases(tmp_path: Path) -> None:
    model = opened(NETWORK.save(tmp_path / "small.onnx"))
    large = np.random.default_rng(6).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    small = np.stack(
        [np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BILINEAR)) for each in large]
    )
    np.testing.assert_allclose(model.describe(large), NETWORK.by_numpy(small), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="must be square, got 16 x 32"):
        model.describe(np.zeros((1, 16, 32, 3), np.uint8))


def test_the_digest_covers_weights_and_steps_and_neither_name_nor_headings(tmp_path: Path) -> None:
    def digest(network: SmallNetwork, **more: Any) -> str:
        return opened(network.save(tmp_path / "small.onnx", STEPS | more)).digest

    first = digest(NETWORK)
    assert digest(NETWORK, name="other", headings=[0, 90]) == first
    others = [
        digest(SmallNetwork.drawn(5)),
        digest(NETWORK, mean=[0.5, 0.456, 0.406]),
        digest(NETWORK, deviation=[0.5, 0.224, 0.225]),
        digest(NETWORK, channels="bgr"),
        digest(NETWORK, size=17),
    ]
    assert len({first, *others}) == 6


def test_name_and_headings_come_from_the_statement(tmp_path: Path) -> None:
    plain = opened(NETWORK.save(tmp_path / "small.onnx"))
    assert (plain.name, plain.headings) == (f"small-{plain.digest[:16]}", (0,))
    named = opened(NETWORK.save(tmp_path / "small.onnx", STEPS | {"name": "net-12", "headings": [90, 0]}))
    assert (named.name, named.headings) == (f"net-12-{plain.digest[:16]}", (90, 0))


def test_the_statement_may_stand_in_the_networks_metadata(tmp_path: Path) -> None:
    inside = {METADATA_KEY: json.dumps(STEPS)}
    model = opened(NETWORK.save(tmp_path / "small.onnx", None, metadata=inside))
    np.testing.assert_allclose(model.describe(PICTURES), NETWORK.by_numpy(PICTURES), rtol=1e-4, atol=1e-5)
    opened(NETWORK.save(tmp_path / "both.onnx", STEPS, metadata=inside))
    contrary = NETWORK.save(tmp_path / "contrary.onnx", STEPS | {"channels": "bgr"}, metadata=inside)
    with pytest.raises(DescriptorModelError, match="state different preprocessing"):
        opened(contrary)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": 0}, "size must be a whole number"),
        ({"size": 16.0}, "size must be a whole number"),
        ({"size": 10**9}, "size must be a whole number"),
        ({"channels": "RGB"}, "channels must be one of rgb, bgr"),
        ({"mean": [0.5, 0.5]}, "mean must be a list of three numbers"),
        ({"mean": [0.5, 0.5, "0.5"]}, "mean must be a list of three numbers"),
        ({"deviation": [0.2, 0, 0.2]}, "deviation must be above 0"),
        ({"headings": [45]}, "a heading must be one of 0, 90, 180, 270"),
        ({"headings": []}, "headings must be one or more"),
        ({"headings": [0, 0]}, "each once"),
        ({"headings": 0}, "headings must be a list"),
        ({"name": 7}, "name must be a text"),
        ({"name": "two words"}, "no space"),
        ({"std": [1, 1, 1]}, "unknown key 'std'"),
    ],
    ids=str,
)
def test_a_statement_that_is_wrong_is_refused_by_its_key(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(DescriptorModelError, match=named):
        opened(NETWORK.save(tmp_path / "small.onnx", STEPS | change))


@pytest.mark.parametrize("key", ["size", "mean", "deviation", "channels"])
def test_nothing_of_a_statement_is_assumed(tmp_path: Path, key: str) -> None:
    steps = {name: value for name, value in STEPS.items() if name != key}
    with pytest.raises(DescriptorModelError, match=f"small.onnx.json: {key} is missing"):
        opened(NETWORK.save(tmp_path / "small.onnx", steps))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"size": NaN}', "\xff", "[" * 10_000])
def test_a_statement_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = NETWORK.save(tmp_path / "small.onnx", None)
    (tmp_path / "small.onnx.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DescriptorModelError, match=r"small\.onnx\.json"):
        opened(path)


def unstated(path: Path) -> None:
    NETWORK.save(path, None)


def cut_short(path: Path) -> None:
    NETWORK.save(path)
    path.write_bytes(path.read_bytes()[:-100])


def with_weights_elsewhere(path: Path) -> None:
    NETWORK.save(path)
    model = onnx.load(path)
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, path)


def of_another_size(path: Path) -> None:
    NETWORK.save(path, size=32)


def with_two_outputs(path: Path) -> None:
    NETWORK.save(path)
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, None))
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (unstated, "nothing states the preprocessing"),
        (cut_short, "is no network that onnxruntime"),
        (with_weights_elsewhere, "keeps weights in another file"),
        (of_another_size, r"takes an input of shape \['n', 3, 32, 32\], not \(n, 3, 16, 16\)"),
        (with_two_outputs, "1 inputs and 2 outputs"),
        (lambda path: path.write_bytes(b""), "is no network|nothing states|no network"),
        (lambda path: None, "No such file"),
    ],
    ids=["unstated", "cut short", "weights elsewhere", "another size", "two outputs", "empty", "missing"],
)
def test_a_file_that_can_not_be_used_is_refused(
    tmp_path: Path, make: Callable[[Path], object], named: str
) -> None:
    make(tmp_path / "small.onnx")
    with pytest.raises(DescriptorModelError, match=named):
        opened(tmp_path / "small.onnx")


def test_an_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    endless = SmallNetwork(NETWORK.filters, NETWORK.projection * np.float32(np.inf))
    model = opened(endless.save(tmp_path / "small.onnx"))
    with pytest.raises(DescriptorModelError, match="not finite"):
        model.describe(PICTURES)


def test_a_provider_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    path = NETWORK.save(tmp_path / "small.onnx")
    with pytest.raises(RuntimeNotAvailableError, match="does not offer NoSuchProvider, it offers"):
        OnnxModel(path, providers=("NoSuchProvider", *CPU))


def test_without_onnxruntime_the_extra_and_the_build_of_a_jetson_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = NETWORK.save(tmp_path / "small.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeNotAvailableError, match="needs onnxruntime") as refused:
        opened(path)
    assert refused.value.remedy == (
        "pip install 'aerotile[onnx]'; on a Jetson, NVIDIA's own build of onnxruntime"
    )


def test_the_extra_leaves_the_onnxruntime_of_a_jetson_alone() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    extra = [Requirement(each) for each in project["optional-dependencies"]["onnx"]]
    (runtime,) = (each for each in extra if each.name == "onnxruntime")
    assert runtime.marker is not None
    for release, is_installed in (("5.15.148-tegra", False), ("6.8.12-tegra", False), ("6.8.0-45", True)):
        assert runtime.marker.evaluate({"platform_release": release}) is is_installed
