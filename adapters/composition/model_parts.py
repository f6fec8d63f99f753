"""The network of a runtime, which describes tiles on the ground and camera frames in flight."""

from __future__ import annotations

from functools import cached_property

from ...domain.errors import ConfigurationError, DescriptorModelError, RuntimeNotAvailableError
from ...domain.ports.descriptor_model import DescriptorModel
from ..config.settings import DescriptorConfig
from .parts import Parts


class ModelParts(Parts):
    """The network, and the name that an index has to have."""

    @cached_property
    def descriptor_model(self) -> DescriptorModel:
        """The configured network.

        Raises `DescriptorModelError`, `RuntimeNotAvailableError`, and `ConfigurationError` where none is
        configured, or where `index.descriptor_model` names another one.
        """
        model, named = open_descriptor_model(self.config.descriptor), self.config.index.descriptor_model
        if named not in (None, model.name):
            raise ConfigurationError(
                f"index.descriptor_model is {named!r}, and the network of [descriptor] is {model.name!r}",
                remedy="correct one of them",
            )
        return model

    @property
    def searched_model(self) -> str | None:
        """Whose descriptors a flight searches; None: those of any network.

        Raises `DescriptorModelError`, also where a package is missing, and `ConfigurationError`.
        """
        if self.config.descriptor.is_set:
            try:
                return self.descriptor_model.name
            except RuntimeNotAvailableError as error:
                # Of an index this error says that it was left out on purpose, which is no failure.
                raise DescriptorModelError(str(error), remedy=error.remedy) from error
        return self.config.index.descriptor_model


def open_descriptor_model(settings: DescriptorConfig, *, threads: int | None = None) -> DescriptorModel:
    """The network that the settings name, on so many threads; None: one a core.

    Raises as `ModelParts.descriptor_model`.
    """
    if settings.callable is not None:
        from ..descriptor_models.callable_model import CallableModel

        return CallableModel.named(settings.callable)
    if settings.model is None:
        raise ConfigurationError(
            "no network is configured that describes pictures",
            remedy="set descriptor.model or descriptor.callable: docs/describe.md",
        )
    ending = settings.model.suffix.lower()
    if ending == ".onnx":
        from ..descriptor_models.onnx_model import OnnxModel

        return OnnxModel(settings.model, providers=settings.providers, threads=threads)
    if ending == ".npz":
        from ..descriptor_models.gradient_vlad import GradientVlad

        return GradientVlad.load(settings.model)
    raise DescriptorModelError(
        f"{settings.model} is no network that can be read", remedy="name a .onnx, or the .npz of the demo"
    )
