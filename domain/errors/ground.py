"""Failures of tools on the ground and of the installation, outside the flight family on purpose."""

from __future__ import annotations

from .root import AerotileError


class IndexBuildError(AerotileError):
    """Building the descriptor index failed. A ground tool's failure, outside the flight family on purpose."""


class BaseSealError(AerotileError):
    """Sealing or signing a base failed. A ground tool's failure, outside the flight family on purpose."""


class DescriptorModelError(AerotileError):
    """The network that describes pictures can't be used, or fails at a picture."""


class DescribedTilesError(AerotileError):
    """Tiles can't be described into a file. A ground tool's failure; blocks that are described stay."""


class ImagerySourceError(AerotileError):
    """A source of imagery can't be read, or is not what it is named as. A ground tool's failure.

    What was stored before stays.
    """


class ImageryPlaceError(AerotileError):
    """What a source of imagery holds at one place is no imagery. A ground tool's failure.

    `place` is (zoom, x, y) with y from the north; `kind` says in a few words what is wrong, so that places
    with the same fault are counted together: `an HTML page`, `a damaged PNG`.
    """

    def __init__(
        self, message: str, *, place: tuple[int, int, int], kind: str, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.place = place
        self.kind = kind


class RuntimeNotAvailableError(AerotileError):
    """A part that the configuration asks for is not in this installation. Raised at composition only."""


class ConfigurationError(AerotileError):
    """A setting is unknown, of the wrong type, or out of range."""
