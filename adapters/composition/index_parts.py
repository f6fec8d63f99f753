"""The descriptor index of a runtime."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from ...domain.errors import ConfigurationError, RuntimeNotAvailableError
from ..config.values import BadValueError, parse_boolean

if TYPE_CHECKING:
    from ..faiss.check import GenerationFinding
    from ..faiss.index import FaissDescriptorIndex


from .model_parts import ModelParts


class IndexParts(ModelParts):
    """The descriptor index, for searching and for tools."""

    @cached_property
    def descriptor_index(self) -> FaissDescriptorIndex:
        """The descriptor index. Raises `RuntimeNotAvailableError` when `BUILD_FAISS_INDEX` is off."""
        return self._faiss_index(open_existing=True)

    @cached_property
    def index_builder(self) -> FaissDescriptorIndex:
        """The descriptor index for tools that build and roll back, also over a damaged generation."""
        return self._faiss_index(open_existing=False)

    def _faiss_index(self, *, open_existing: bool) -> FaissDescriptorIndex:
        refuse_unwanted_index()
        from ..faiss.index import FaissDescriptorIndex

        settings = self.config.index
        index = FaissDescriptorIndex(
            self.config.index_folder,
            params=settings.hnsw_params,
            storage=settings.storage,
            keep_generations=settings.keep_generations,
            warm_up=settings.warm_up,
            open_existing=open_existing,
            descriptor_model=self.searched_model,
        )
        return self._closing(index, index.close)

    def check_index(self) -> list[GenerationFinding]:
        """Check every generation of the index; none when the index is left out or not built yet."""
        if not index_is_wanted() or not self.config.index_folder.is_dir():
            return []
        from ..faiss.check import check_generations

        return check_generations(self.config.index_folder)


def index_is_wanted() -> bool:
    """What `BUILD_FAISS_INDEX` says; yes when it is not set. Raises `ConfigurationError`."""
    try:
        return parse_boolean(os.environ.get("BUILD_FAISS_INDEX", "1"))
    except BadValueError as error:
        raise ConfigurationError(
            f"BUILD_FAISS_INDEX {error}", remedy="unset it, or set 0 to leave the descriptor index out"
        ) from None


def refuse_unwanted_index() -> None:
    """Raise `RuntimeNotAvailableError` when `BUILD_FAISS_INDEX` is off."""
    if not index_is_wanted():
        word = os.environ["BUILD_FAISS_INDEX"]
        raise RuntimeNotAvailableError(
            f"the descriptor index is switched off by BUILD_FAISS_INDEX={word}",
            remedy="unset BUILD_FAISS_INDEX",
        )
