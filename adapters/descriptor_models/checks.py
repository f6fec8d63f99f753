"""Names of networks, and the check of their answers, so that every network is held to the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...domain.errors import DescriptorModelError
from ...domain.values.pictures import Descriptors

_DIGITS = 16
MAX_LABEL = 64


def model_name(label: str, digest: str) -> str:
    """The name of a network in an index: it changes with the digest. Raises `DescriptorModelError`."""
    if not label or len(label) > MAX_LABEL or not label.isprintable() or " " in label:
        raise DescriptorModelError(
            f"a network's name has 1 to {MAX_LABEL} printable characters and no space, got {label!r}",
            remedy="name it otherwise",
        )
    return f"{label}-{digest[:_DIGITS]}"


def checked_answer(answer: Any, count: int, name: str) -> Descriptors:
    """A network's answer to `count` pictures as `Descriptors`. Raises `DescriptorModelError`."""
    remedy = "correct the network: one row of finite numbers a picture"
    if not isinstance(answer, np.ndarray) or answer.dtype not in (np.float16, np.float32):
        kind = answer.dtype if isinstance(answer, np.ndarray) else type(answer).__name__
        raise DescriptorModelError(f"{name} answers with {kind}, not with float32", remedy=remedy)
    if answer.ndim != 2 or len(answer) != count or not answer.shape[1]:
        raise DescriptorModelError(
            f"{name} answers {count} pictures with an array of shape {answer.shape}", remedy=remedy
        )
    if not np.isfinite(answer).all():
        raise DescriptorModelError(f"{name} answers with numbers that are not finite", remedy=remedy)
    return np.ascontiguousarray(answer, np.float32)
