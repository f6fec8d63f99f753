"""`[descriptor]`: the network that describes tiles on the ground and camera frames in flight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from ...domain.values.validators import plain_numbers
from .fields import setting


def _providers(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{attribute.name} must be one or more names, got {value!r}")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class DescriptorConfig:
    """`[descriptor]`: which network describes pictures, and what it runs on."""

    model: Path | None = setting(
        None, "File of the network that describes pictures: `.onnx`, or the `.npz` of the demo.", kind=Path
    )
    callable: str | None = setting(
        None,
        "In its place, a Python callable that describes pictures, as `module:name`; the module is imported.",
        kind=str,
    )
    providers: tuple[str, ...] = setting(
        ("CPUExecutionProvider",),
        "What onnxruntime runs an `.onnx` on, by its own names, the first choice first.",
        check=_providers,
    )

    def __attrs_post_init__(self) -> None:
        if self.model is not None and self.callable is not None:
            raise ValueError(f"callable must not be set beside descriptor.model, got {self.callable!r}")

    @property
    def is_set(self) -> bool:
        """Whether a network is configured."""
        return self.model is not None or self.callable is not None
