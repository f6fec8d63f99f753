"""Networks in ONNX on this machine: pictures a second on one core, their share of a build, hits in the demo.

    python bench/onnx_networks.py

`resnet18` has the layers of ResNet-18 (He and others 2015, arXiv 1512.03385) without its classifier, 224
pixels, 512 numbers, and weights drawn by chance, which decide no time: its hits say nothing. `patches` is
learned from the demo's tiles: the principal patches of 16 x 16 pixels, rectified both ways, averaged in 5 x 5
cells, and projected to 256 whitened numbers. Both run through `OnnxModel` by one thread. One JSON document on
standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from paths.demo_descriptors import _frame, _imagery, _picture_at, _plans, _tile_corners

from aerotile.adapters.demo.mission import CAPE_TO_BEIJING
from aerotile.adapters.demo.prior import phase_at, prior_of
from aerotile.adapters.descriptor_models.onnx_model import OnnxModel
from aerotile.domain.values.tiles import TileId, TileSource

Array = npt.NDArray[Any]
FRAMES, BATCH = 300, 32
_ZOOM = CAPE_TO_BEIJING.search_zoom
_PATCH, _FILTERS, _ROWS = 16, 48, 256
_CELL, _STEP = 7, 6


def main() -> int:
    """Measure both networks."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    corners = _tile_corners()
    tiles = np.stack([_picture_at(corner) for corner in corners])
    plans = _plans(FRAMES)
    frames = np.stack([_frame(plan) for plan in plans])
    facts: dict[str, Any] = {"tiles": len(tiles), "frames": len(frames)}
    with tempfile.TemporaryDirectory(prefix="aerotile-onnx-") as folder:
        for name, network, size in (("resnet18", resnet18(), 224), ("patches", patches(tiles), 256)):
            path = Path(folder, f"{name}.onnx")
            onnx.save(network, path)
            steps = {"size": size, "mean": [0.5] * 3, "deviation": [0.25] * 3, "channels": "rgb"}
            Path(f"{path}.json").write_text(json.dumps(steps), encoding="utf-8")
            model = OnnxModel(path, providers=["CPUExecutionProvider"], threads=1)
            described, seconds = timed(model, tiles)
            asked, _ = timed(model, frames)
            facts[name] = {
                "numbers": described.shape[1],
                "pictures_a_second_on_one_core": round(len(tiles) / seconds, 1),
                "hits": hits(described, asked, corners, plans),
            }
    json.dump(facts, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def timed(model: OnnxModel, pictures: Array) -> tuple[Array, float]:
    """The descriptors, and the processor's seconds without the first batch's."""
    model.describe(pictures[:BATCH])
    began = time.process_time()
    rows = np.concatenate(
        [model.describe(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
    )
    return rows, time.process_time() - began


def hits(described: Array, asked: Array, corners: Any, plans: Any) -> dict[str, dict[str, float]]:
    """Shares of the frames over land whose tile is first, and among five: of all, and within a prior."""
    tile_ids = [TileId(_ZOOM, int(x), int(y), TileSource.IMPORTED) for x, y in corners]
    outcomes: dict[str, Counter[str]] = {}
    for number, (plan, row) in enumerate(zip(plans, asked, strict=True)):
        if not _imagery().is_land(plan.lat, plan.lon):
            continue
        share = number / len(plans)
        below = TileId.covering(plan.lat, plan.lon, _ZOOM, TileSource.IMPORTED)
        order = [tile_ids[each] for each in np.argsort(np.square(described - row).sum(axis=1))]
        near = prior_of(plan, share, _ZOOM)
        areas = {f"{phase_at(share).value}, all tiles": order}
        if near is not None:
            areas[f"{phase_at(share).value}, within the prior"] = [
                tile_id for tile_id in order if near.touches(_ZOOM, tile_id.x, tile_id.y)
            ]
        for name, candidates in areas.items():
            counts = outcomes.setdefault(name, Counter())
            counts["frames"] += 1
            counts["first"] += candidates[:1] == [below]
            counts["among five"] += below in candidates[:5]
    return {
        name: {what: round(counts[what] / counts["frames"], 3) for what in ("first", "among five")}
        | {"frames": counts["frames"]}
        for name, counts in outcomes.items()
    }


class Network:
    """Layers put behind each other."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def layer(self, kind: str, *inputs: str, **options: Any) -> str:
        """Add a node; returns the name of its output."""
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **options))
        return output

    def weight(self, value: Array) -> str:
        """Add numbers; returns their name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def convolution(self, x: str, into: int, out: int, size: int, step: int) -> str:
        """A convolution with weights drawn by chance (He and others 2015) and no padding lost."""
        drawn = self.rng.normal(0, np.sqrt(2 / (into * size * size)), (out, into, size, size))
        pads = [size // 2] * 4
        return self.layer("Conv", x, self.weight(drawn), strides=[step, step], pads=pads)

    def finished(self, output: str, size: int) -> Any:
        """The model."""
        self.nodes[-1].output[0] = "descriptors"
        del output
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, size, size])],
            [helper.make_tensor_value_info("descriptors", TensorProto.FLOAT, None)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18() -> Any:
    """The layers of ResNet-18 without the classifier."""
    net = Network()
    x = net.layer("Relu", net.convolution("pictures", 3, 64, 7, 2))
    x = net.layer("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, out in enumerate((64, 128, 256, 512)):
        for block in range(2):
            step = 2 if stage and not block else 1
            inner = net.layer("Relu", net.convolution(x, width, out, 3, step))
            inner = net.convolution(inner, out, out, 3, 1)
            beside = x if width == out and step == 1 else net.convolution(x, width, out, 1, step)
            x = net.layer("Relu", net.layer("Add", inner, beside))
            width = out
    x = net.layer("Flatten", net.layer("GlobalAveragePool", x))
    return net.finished(net.layer("LpNormalization", x, axis=1, p=2), 224)


def patches(tiles: Array) -> Any:
    """Principal patches of the tiles, as a network of 256 pixels."""
    prepared = (tiles.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.25
    rng = np.random.default_rng(1)
    at = rng.integers(0, 256 - _PATCH, (30_000, 2))
    of = rng.integers(0, len(tiles), 30_000)
    sample = np.stack(
        [prepared[n, :, y : y + _PATCH, x : x + _PATCH].ravel() for n, (y, x) in zip(of, at, strict=True)]
    )
    sample -= sample.reshape(-1, 3, _PATCH * _PATCH).mean(axis=2).repeat(_PATCH * _PATCH, axis=1)
    _, spread, axes = np.linalg.svd(sample.T @ sample / len(sample))
    filters = (axes[:_FILTERS] / np.sqrt(spread[:_FILTERS, None])).reshape(-1, 3, _PATCH, _PATCH)
    filters -= filters.mean(axis=(2, 3), keepdims=True)  # the mean colour of a patch follows the light

    def cells(net: Network) -> str:
        x = net.layer("Conv", "pictures", net.weight(filters), strides=[8, 8])
        both = net.layer("Concat", x, net.layer("Neg", x), axis=1)
        pooled = net.layer(
            "AveragePool", net.layer("Relu", both), kernel_shape=[_CELL] * 2, strides=[_STEP] * 2
        )
        return net.layer("Flatten", net.layer("Sqrt", pooled))

    first = Network()
    features = _answers(first.finished(cells(first), 256), prepared)
    mean = features.mean(axis=0)
    _, strength, directions = np.linalg.svd(features - mean, full_matrices=False)
    projection = directions[:_ROWS].T / np.sqrt(strength[:_ROWS] + 0.05 * strength[0])
    net = Network()
    x = net.layer("MatMul", net.layer("Sub", cells(net), net.weight(mean)), net.weight(projection))
    return net.finished(net.layer("LpNormalization", x, axis=1, p=2), 256)


def _answers(network: Any, prepared: Array) -> Array:
    import onnxruntime

    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    parts = [
        session.run(None, {"pictures": prepared[start : start + BATCH]})[0]
        for start in range(0, len(prepared), BATCH)
    ]
    return np.concatenate(parts)


if __name__ == "__main__":
    sys.exit(main())
