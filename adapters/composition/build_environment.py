"""What decides the bytes of a build beside its inputs: versions, and the instruction set."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...domain.errors import RuntimeNotAvailableError

CUTTING = ("aerotile", "numpy", "simplejpeg", "pillow")
RASTERS = ("rasterio", "GDAL")
WITH_AN_INDEX = ("BLAS", "onnxruntime", "faiss-cpu")
INSTRUCTIONS = "instruction set"
PYTHON = "Python"
"""Compared between machines, which exchange pickles. No byte of a base follows from it."""


@lru_cache(maxsize=8)
def environment_of(names: tuple[str, ...]) -> Mapping[str, str]:
    """The version of each package named here, or "none"; the instruction set; and Python's minor version."""
    special = {"GDAL": _gdal, "BLAS": _blas, "onnxruntime": _onnxruntime}
    found = {name: special.get(name, lambda name=name: _version(name))() for name in names}
    return found | {
        INSTRUCTIONS: _instruction_set(),
        PYTHON: ".".join(platform.python_version_tuple()[:2]),
    }


def multiply_by_one_thread() -> None:
    """Let one thread compute a product of matrices: how many share it may decide its last digits.

    It stays so for the process, whose other threads may be in the middle of a block. Raises
    `RuntimeNotAvailableError`.
    """
    _threadpoolctl().threadpool_limits(1, user_api="blas")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _gdal() -> str:
    import rasterio

    return str(rasterio.__gdal_version__)


def _onnxruntime() -> str:
    """Asked of the module: it comes under several packages' names, on a Jetson from NVIDIA."""
    try:
        import onnxruntime
    except ImportError:
        return "none"
    return str(onnxruntime.__version__)


def _blas() -> str:
    """The libraries that compute products, each with its version and the processor that it chose code for."""
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))  # the library is loaded then
    found = {
        " ".join(str(each.get(key)) for key in ("internal_api", "version", "architecture"))
        for each in _threadpoolctl().threadpool_info()
        if each["user_api"] == "blas" and "numpy" in each["filepath"]
    }
    return ", ".join(sorted(found)) or "none"


def _threadpoolctl() -> Any:
    try:
        import threadpoolctl
    except ImportError as error:
        raise RuntimeNotAvailableError(
            "describing in a build needs threadpoolctl, which is not installed",
            remedy="pip install 'aerotile[ground]'",
        ) from error
    return threadpoolctl


def _instruction_set() -> str:
    """The machine, and the extensions that NumPy found in its processor."""
    import numpy as np

    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return " ".join([platform.machine(), *extensions.get("baseline", ()), *extensions.get("found", ())])
