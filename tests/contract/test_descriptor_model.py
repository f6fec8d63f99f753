"""Every `DescriptorModel` fulfils its contract: in memory, a Python callable, ONNX, the demo's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import STEPS, SmallNetwork

from aerotile.adapters.descriptor_models.callable_model import CallableModel
from aerotile.adapters.descriptor_models.gradient_vlad import GradientVlad
from aerotile.adapters.descriptor_models.onnx_model import OnnxModel
from aerotile.domain.errors import DescriptorModelError
from aerotile.testing import DescriptorModelContract, DescriptorModelSubject, MemoryDescriptorModel

CPU = ("CPUExecutionProvider",)


class TestMemoryDescriptorModel(DescriptorModelContract):
    @pytest.fixture
    def subject(self) -> DescriptorModelSubject:
        return DescriptorModelSubject(
            MemoryDescriptorModel(), MemoryDescriptorModel(), MemoryDescriptorModel(seed=1), size=16
        )


class MeanColours:
    """A callable of a user's own."""

    label = "mean-colours"
    headings = (0, 90)

    def __init__(self, weight: float) -> None:
        self.weight = np.float32(weight)
        self.digest = hashlib.sha256(self.weight.tobytes()).hexdigest()

    def __call__(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
        return pictures.mean(axis=(1, 2), dtype=np.float32) * self.weight


class TestCallableModel(DescriptorModelContract):
    @pytest.fixture
    def subject(self) -> DescriptorModelSubject:
        one, again, other = (CallableModel(MeanColours(weight), "colours:describe") for weight in (1, 1, 2))
        return DescriptorModelSubject(one, again, other, size=16)


class EndedBySignalError(SystemExit):
    """As a handler of a signal may raise it to end the program."""


class Leaving(MeanColours):
    """A callable in which the program is ended."""

    def __init__(self, end: BaseException) -> None:
        super().__init__(1)
        self.end = end

    def __call__(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
        raise self.end


def test_a_callable_that_exits_is_named_and_the_end_of_the_program_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(DescriptorModelError, match=r"mean-colours.* fails: SystemExit: 3"):
        CallableModel(Leaving(SystemExit(3)), "colours:leaving").describe(pictures)
    for end in (EndedBySignalError(143), KeyboardInterrupt()):
        with pytest.raises(type(end)):
            CallableModel(Leaving(end), "colours:leaving").describe(pictures)
    (tmp_path / "leaving_module.py").write_text("import sys\nsys.exit(5)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DescriptorModelError, match="can't import leaving_module:describe: SystemExit: 5"):
        CallableModel.named("leaving_module:describe")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch": 1},
        {"batch": 4},
        {"channels_last": True},
        {"half": True},
        {"size": 16},
        {"steps": STEPS | {"size": 24, "headings": [0, 180]}},
    ],
    ids=[
        "any number",
        "one at a time",
        "four at a time",
        "channels last",
        "float16",
        "fixed size",
        "resized",
    ],
)
class TestOnnxModel(DescriptorModelContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, options: dict[str, Any]) -> DescriptorModelSubject:
        paths = [
            SmallNetwork.drawn(seed).save(tmp_path / f"{name}.onnx", **options)
            for name, seed in (("small", 1), ("other", 2))
        ]
        small, again, other = (OnnxModel(paths[i], providers=CPU) for i in (0, 0, 1))
        return DescriptorModelSubject(small, again, other, size=16)


@pytest.fixture(scope="module")
def learned() -> GradientVlad:
    """The numbers that it would learn, drawn: learning takes seconds and has tests of its own."""
    rng = np.random.default_rng(8)
    shapes = ((64, 32), (2048,), (2048, 512))
    return GradientVlad(*(rng.normal(scale=0.2, size=shape).astype(np.float32) for shape in shapes))


class TestGradientVlad(DescriptorModelContract):
    @pytest.fixture
    def subject(self, learned: GradientVlad, tmp_path: Path) -> DescriptorModelSubject:
        learned.save(tmp_path / "learned.npz")
        again = GradientVlad.load(tmp_path / "learned.npz")
        other = GradientVlad(learned.words[::-1].copy(), learned.mean, learned.projection)
        return DescriptorModelSubject(learned, again, other, size=256)
