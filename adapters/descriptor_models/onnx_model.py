"""`OnnxModel`: a network in an ONNX file as a `DescriptorModel`, run by onnxruntime."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...domain.errors import DescriptorModelError, RuntimeNotAvailableError
from ...domain.values.pictures import Descriptors, Pictures, check_pictures
from ..files.regular_file import read_regular
from .checks import checked_answer, model_name
from .preprocessing import Preprocessing

METADATA_KEY = "aerotile.preprocessing"
"""Under this key a network's own metadata may state the preprocessing."""
_SIDECAR_ENDING = ".json"
_MAX_BYTES = (1 << 31) - 1
"""ONNX is a protocol buffer, which is no larger."""
_MAX_SIDECAR_BYTES = 1 << 16
_ERRORS_ONLY = 3
_EXTERNAL_WEIGHTS = re.compile(rb"\x6a[\x00-\xff]{1,2}\x0a\x08location\x12")
"""A tensor (field 13, external_data) that names the file with its numbers."""
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxModel:
    """The network of one ONNX file with its preprocessing; see `DescriptorModel`.

    The bytes that were hashed are the bytes that run. One input of three colours, one output of one row a
    picture. A network for a fixed number of pictures is called as often as needed. The digest is over the
    bytes of the file and the preprocessing.
    """

    def __init__(self, path: Path, *, providers: Sequence[str], threads: int | None = None) -> None:
        """Load the network; `providers` are onnxruntime's names of what it runs on, the first choice first.

        `threads`: how many compute one picture; None: one a core.

        Raises `DescriptorModelError`; `RuntimeNotAvailableError` without onnxruntime.
        """
        content = _read(path, _MAX_BYTES)
        if _EXTERNAL_WEIGHTS.search(content):
            raise DescriptorModelError(
                f"{path} keeps weights in another file, which its digest would not cover",
                remedy="save the network as one file",
            )
        self._session = _open_session(path, content, providers, threads)
        self._steps = _steps_of(path, self._session.get_modelmeta().custom_metadata_map)
        self.digest = hashlib.sha256(hashlib.sha256(content).digest() + self._steps.canonical).hexdigest()
        self.name = model_name(self._steps.name or path.stem, self.digest)
        self.headings = self._steps.headings
        self._input, self._fixed_batch, self._channels_last = self._checked_input(path)

    def describe(self, pictures: Pictures) -> Descriptors:
        """See `DescriptorModel`; pictures must be square."""
        check_pictures(pictures)
        prepared = self._steps.prepared(pictures)
        if self._channels_last:
            prepared = np.ascontiguousarray(prepared.transpose(0, 2, 3, 1))
        step = self._fixed_batch or len(prepared)
        parts = [self._run(prepared[start : start + step], step) for start in range(0, len(prepared), step)]
        return np.concatenate(parts)

    def _run(self, prepared: Any, step: int) -> Descriptors:
        count = len(prepared)
        if count < step:  # a network for a fixed number: the others are black, and their answers go
            prepared = np.concatenate([prepared, np.zeros((step - count, *prepared.shape[1:]), np.float32)])
        try:
            (answer,) = self._session.run(
                None, {self._input.name: prepared.astype(_FLOATS[self._input.type])}
            )
        except Exception as error:
            raise DescriptorModelError(
                f"{self.name} fails: {error}", remedy="correct the network, or describe fewer at a time"
            ) from error
        return checked_answer(answer, step, self.name)[:count]

    def _checked_input(self, path: Path) -> tuple[Any, int | None, bool]:
        """The input, the number of pictures that it is fixed to (None: any), whether colours come last."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise DescriptorModelError(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs",
                remedy="save a network with one input and one output",
            )
        size, shape = self._steps.size, list(inputs[0].shape)
        layouts = {False: (3, size, size), True: (size, size, 3)}
        for channels_last, wanted in layouts.items():  # noqa: B007 - the layout that fits is used below
            if len(shape) == 4 and all(
                not isinstance(given, int) or given == right
                for given, right in zip(shape[1:], wanted, strict=True)
            ):
                break
        else:
            raise DescriptorModelError(
                f"{path} takes an input of shape {shape}, "
                f"not (n, 3, {size}, {size}) or (n, {size}, {size}, 3)",
                remedy="correct `size` in its preprocessing, or save the network with such an input",
            )
        if inputs[0].type not in _FLOATS:
            raise DescriptorModelError(
                f"{path} takes an input of {inputs[0].type}", remedy="save it with an input of float32"
            )
        return inputs[0], shape[0] if isinstance(shape[0], int) else None, channels_last


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        return read_regular(path, most_bytes, follow=True)
    except OSError as error:
        raise DescriptorModelError(f"can't read {path}: {error.strerror}") from error


def _open_session(path: Path, content: bytes, providers: Sequence[str], threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeNotAvailableError(
            f"{path.name} needs onnxruntime, which can't be imported: {error}",
            remedy="pip install 'aerotile[onnx]'; on a Jetson, NVIDIA's own build of onnxruntime",
        ) from error
    offered = onnxruntime.get_available_providers()
    missing = [each for each in providers if each not in offered]
    if missing:
        raise RuntimeNotAvailableError(
            f"this onnxruntime does not offer {missing[0]}, it offers {', '.join(offered)}",
            remedy="correct descriptor.providers, or install the build for this machine",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:
        raise DescriptorModelError(
            f"{path} is no network that onnxruntime {onnxruntime.__version__} can run: {error}",
            remedy="save it anew, for an older opset where onnxruntime is older",
        ) from error
    if session.get_providers()[0] != providers[0]:  # it falls back with a warning only
        raise RuntimeNotAvailableError(
            f"{providers[0]} can't run on this machine", remedy="correct descriptor.providers"
        )
    return session


def _steps_of(path: Path, metadata: dict[str, str]) -> Preprocessing:
    """The preprocessing from the file beside the network, or from its metadata; both must agree."""
    beside = path.with_name(path.name + _SIDECAR_ENDING)
    stated: dict[str, Preprocessing] = {}
    if beside.exists():
        try:
            text = _read(beside, _MAX_SIDECAR_BYTES).decode()
        except UnicodeDecodeError as error:
            raise DescriptorModelError(f"{beside} is not UTF-8") from error
        stated[str(beside)] = Preprocessing.of_json(text, str(beside))
    if METADATA_KEY in metadata:
        where = f"{path}, metadata {METADATA_KEY}"
        stated[where] = Preprocessing.of_json(metadata[METADATA_KEY], where)
    if not stated:
        raise DescriptorModelError(
            f"nothing states the preprocessing of {path}",
            remedy=f"write {beside.name} beside it: docs/describe.md",
        )
    if len(set(stated.values())) > 1:
        raise DescriptorModelError(
            f"{beside} and the metadata of {path.name} state different preprocessing", remedy="remove one"
        )
    return next(iter(stated.values()))
