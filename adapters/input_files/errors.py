"""The error of a file that an operator names."""

from __future__ import annotations

from ...domain.errors import AerotileError


class InputFileError(AerotileError):
    """The file is damaged, or is not what it is named as. Nothing was changed."""
