"""The provider's token, from its setting or its file."""

from __future__ import annotations

import re
from pathlib import Path

from ...domain.errors import ConfigurationError
from ..files.regular_file import read_regular
from .secret import Secret
from .settings import UploadConfig

MAX_TOKEN_BYTES = 8192

# The characters of a bearer token (RFC 6750); none of them can begin another header.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def read_upload_token(settings: UploadConfig) -> Secret:
    """The token. Raises `ConfigurationError`, which never shows it, when there is no usable token."""
    if settings.token is not None:
        return _checked(settings.token.reveal(), "upload.token")
    if settings.token_file is None:
        raise ConfigurationError(
            "no token for the provider is set",
            remedy="set upload.token_file to a file that holds it, or AEROTILE_UPLOAD_TOKEN",
        )
    return read_token_file(settings.token_file, f"upload.token_file {settings.token_file}")


def read_token_file(path: Path, where: str) -> Secret:
    """The token that a file holds; `where` names the file in errors. Raises `ConfigurationError`."""
    try:
        content = read_regular(path, MAX_TOKEN_BYTES, follow=True)
    except OSError as error:
        raise ConfigurationError(
            f"can't read {where}: {error.strerror}", remedy="create the file or correct its name"
        ) from error
    # Decoding must not fail: an error that quotes the bytes would show the token.
    return _checked(content.decode("ascii", errors="replace").strip(), where)


def _checked(token: str, where: str) -> Secret:
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"{where} holds no bearer token (the value is not shown)",
            remedy="it is one line of letters, digits and -._~+/, perhaps with = at its end",
        )
    return Secret(token)
