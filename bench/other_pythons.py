"""The same bytes under several versions of CPython with the same libraries: a build, and a seal of a store.

    python bench/other_pythons.py /path/to/env-3.12/bin/python /path/to/env-3.13/bin/python

This interpreter and each that is named need `aerotile[embedded,ground,imagery,onnx]`, and the same versions
of NumPy, FAISS, rasterio, Pillow, simplejpeg and onnxruntime: they stand in `made_with` of the manifest, so
other ones give another manifest. Each builds one plan (a GeoTIFF, a network in ONNX at two headings) into a
base of its own. This one brings the GeoTIFF into a store, describes it and builds an index, and each seals
that store. One JSON document on standard output: the SHA-256 of each file of both bases, and whether all
interpreters agree. The exit code is 1 where one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from onnx_networks import Network
from paths.rasters import write_raster

_TILE, _NUMBERS = 64, 16
_RUN = "import sys; from aerotile.adapters.cli import main; sys.argv[0] = 'aerotile'; main()"
_VERSION = "import platform; print(platform.python_version())"


def main() -> int:
    """Build and seal by each interpreter, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pythons", nargs="+", help="interpreters beside this one")
    parser.add_argument("--side", type=int, default=3_000, help="pixels of the raster")
    arguments = parser.parse_args()
    pythons = [sys.executable, *arguments.pythons]
    with tempfile.TemporaryDirectory(prefix="aerotile-pythons-") as name:
        folder = Path(name)
        _write_inputs(folder, arguments.side)
        report: dict[str, Any] = {"python": [_version(python) for python in pythons]}
        report["built"] = [_built(python, folder, str(number)) for number, python in enumerate(pythons)]
        _fill_store(folder)
        report["sealed"] = [_sealed(python, folder, str(number)) for number, python in enumerate(pythons)]
    report["same"] = {
        what: all(one == report[what][0] for one in report[what]) for what in ("built", "sealed")
    }
    for what in ("built", "sealed"):
        report[what] = report[what][0] if report["same"][what] else report[what]
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0 if all(report["same"].values()) else 1


def _write_inputs(folder: Path, side: int) -> None:
    import onnx

    write_raster(folder / "ortho.tif", side)
    net = Network(seed=1)
    seen = net.layer("Relu", net.convolution("pictures", 3, _NUMBERS, 3, 2))
    pooled = net.layer("AveragePool", seen, kernel_shape=[8, 8], strides=[8, 8])
    flat = net.layer("Flatten", pooled)
    onnx.save(net.finished(net.layer("LpNormalization", flat, axis=1, p=2), _TILE), folder / "network.onnx")
    steps = {
        "size": _TILE,
        "mean": [0.5] * 3,
        "deviation": [0.25] * 3,
        "channels": "rgb",
        "headings": [0, 90],
    }
    (folder / "network.onnx.json").write_text(json.dumps(steps), encoding="utf-8")


def _built(python: str, folder: Path, name: str) -> dict[str, str]:
    """The digests of a base that an interpreter builds from the plan."""
    root = folder / f"build-{name}"
    plan = folder / f"plan-{name}.toml"
    plan.write_text(
        f'sources = ["ortho.tif"]\ncaptured_at = "2026-05-01"\nwork = "{root / "work"}"\n'
        '[describe]\nmodel = "network.onnx"\n',
        encoding="utf-8",
    )
    _call(python, root, "build", str(plan), "--number", "1")
    return _digests(root)


def _fill_store(folder: Path) -> None:
    """A store with an index, by this interpreter."""
    root = folder / "store"
    dated = ("--captured-at", "2026-05-01")
    _call(sys.executable, root, "provision", str(folder / "ortho.tif"), *dated)
    descriptors = str(folder / "descriptors.npz")
    _call(sys.executable, root, "describe", descriptors, "--model", str(folder / "network.onnx"))
    _call(sys.executable, root, "index", "build", descriptors)


def _sealed(python: str, folder: Path, name: str) -> dict[str, str]:
    """The digests of a base that an interpreter seals from the store."""
    root = folder / "store"
    _call(python, root, "base", "seal", "--number", "1")
    digests = _digests(root)
    (root / "base").rename(folder / f"sealed-{name}")
    return digests


def _call(python: str, root: Path, *arguments: str) -> None:
    set_here = {"AEROTILE_ROOT": str(root), "AEROTILE_TILES_TILE_SIZE_PIXELS": str(_TILE)}
    subprocess.run(
        [python, "-c", _RUN, *arguments], env=os.environ | set_here, check=True, stdout=subprocess.DEVNULL
    )


def _digests(root: Path) -> dict[str, str]:
    files = sorted((root / "base/generations/000001").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _version(python: str) -> str:
    said = subprocess.run([python, "-c", _VERSION], check=True, capture_output=True, text=True)
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
