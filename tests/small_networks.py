"""Small real networks as ONNX files, and what they answer by numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
STEPS: dict[str, Any] = {
    "size": 16,
    "mean": [0.485, 0.456, 0.406],
    "deviation": [0.229, 0.224, 0.225],
    "channels": "rgb",
}
_FILTERS, _ROWS = 8, 12


@attrs.frozen(eq=False)
class SmallNetwork:
    """A convolution, a rectifier, means over the picture, and a projection: 12 numbers a picture."""

    filters: Array
    """Shape (8, 3, 3, 3)."""
    projection: Array
    """Shape (8, 12)."""

    @classmethod
    def drawn(cls, seed: int) -> SmallNetwork:
        rng = np.random.default_rng(seed)
        return cls(
            rng.normal(size=(_FILTERS, 3, 3, 3)).astype(np.float32),
            rng.normal(size=(_FILTERS, _ROWS)).astype(np.float32),
        )

    def save(
        self,
        path: Path,
        steps: dict[str, Any] | None = STEPS,
        *,
        batch: int | str = "n",
        size: int | str = "side",
        channels_last: bool = False,
        half: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        """Write the network, and the statement of its preprocessing beside it unless `steps` is None."""
        kind, number = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
        shape = [batch, size, size, 3] if channels_last else [batch, 3, size, size]
        turn = [helper.make_node("Transpose", ["pictures"], ["planes"], perm=[0, 3, 1, 2])]
        first = "planes" if channels_last else "pictures"
        nodes = [
            *(turn if channels_last else []),
            helper.make_node("Conv", [first, "filters"], ["seen"], kernel_shape=[3, 3]),
            helper.make_node("Relu", ["seen"], ["above"]),
            helper.make_node("GlobalAveragePool", ["above"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "projection"], ["rows"]),
        ]
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("pictures", kind, shape)],
            [helper.make_tensor_value_info("rows", kind, [batch, _ROWS])],
            [
                numpy_helper.from_array(self.filters.astype(number), "filters"),
                numpy_helper.from_array(self.projection.astype(number), "projection"),
            ],
        )
        # Versions that every onnxruntime since the floor reads.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        if steps is not None:
            path.with_name(f"{path.name}.json").write_text(json.dumps(steps), encoding="utf-8")
        return path

    def by_numpy(self, pictures: npt.NDArray[np.uint8], steps: dict[str, Any] = STEPS) -> Array:
        """The answer to pictures of the network's own size, in numbers of 64 bits."""
        colours = pictures[..., ::-1] if steps["channels"] == "bgr" else pictures
        scaled = (colours / 255 - np.array(steps["mean"])) / np.array(steps["deviation"])
        windows = np.lib.stride_tricks.sliding_window_view(scaled, (3, 3), axis=(1, 2))
        seen = np.einsum("nyxcij,fcij->nyxf", windows, self.filters.astype(np.float64))
        answer: Array = np.maximum(seen, 0).mean(axis=(1, 2)) @ self.projection.astype(np.float64)
        return answer
