"""The shared options of one run of the program, and its configuration."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadInputError
from .logs import configure_logging

if TYPE_CHECKING:
    from ..composition import Runtime
    from ..config.loader import LoadedConfig
    from ..config.secret import Secret
    from ..config.settings import AerotileConfig


class Session:
    """The shared options of one run, and the configuration that follows from them."""

    def __init__(self) -> None:
        self.root: Path | None = None
        self.config_file: Path | None = None
        self.verbosity = 0
        self.debug = False
        self._loaded: LoadedConfig | None = None
        self._hidden: list[Secret] = []

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration with the origin of each value. Raises `ConfigurationError`."""
        if self._loaded is None:
            from ..config.loader import read_config

            self._loaded = read_config(file=self.config_file, root=self.root)
        return self._loaded

    @property
    def config(self) -> AerotileConfig:
        """The configuration. Raises `ConfigurationError`."""
        return self.loaded.config

    def runtime(self) -> Runtime:
        """The runtime of the configuration; a context manager that closes its parts."""
        from ..composition import Runtime

        return Runtime(self.config)

    def existing_runtime(self, *parts: str) -> Runtime:
        """The runtime, for a command that creates no store. Raises as `existing_config`."""
        self.existing_config(*parts)
        return self.runtime()

    def existing_config(self, *parts: str) -> AerotileConfig:
        """The configuration, for a command that creates no store: a mistyped folder must not become one.

        Each of `parts` is a folder inside the root that suffices for the command. Raises `BadInputError` when
        the root folder is missing, or when no database is configured and the root holds neither an embedded
        one nor one of `parts`.
        """
        config = self.config
        remedy = "correct --root, or create the store there with aerotile migrate"
        try:
            if not config.root.is_dir():
                raise BadInputError(f"no folder {config.root}", remedy=remedy)
            suffices = config.has_store or any((config.root / part).is_dir() for part in parts)
        except OSError as error:
            raise BadInputError(f"can't look into {config.root}: {error.strerror}", remedy=remedy) from error
        if not suffices:
            if config.base_folder.is_dir():
                raise BadInputError(
                    f"no store in {config.root}, only a sealed base",
                    remedy="correct --root: this command needs the store",
                )
            raise BadInputError(f"no store in {config.root}", remedy=remedy)
        return config

    def configure_logging(self) -> None:
        """Log to standard error, as verbosely as -v asks."""
        configure_logging(self.verbosity, self.redacted)

    @cached_property
    def _token(self) -> Secret | None:
        """The provider's token, also from a file; None when no usable token is configured."""
        from ...domain.errors import ConfigurationError
        from ..config.upload_token import read_upload_token

        try:
            return read_upload_token(self.config.upload)
        except ConfigurationError:
            return self.config.upload.token

    def hide(self, secret: Secret) -> None:
        """Take a secret that an argument led to out of every text from now on."""
        self._hidden.append(secret)

    def redacted(self, text: str) -> str:
        """The text, without the passwords and tokens of the configuration and of arguments."""
        if self._loaded is None:
            return text
        from ..config.secret import HIDDEN, SHORTEST_REPLACED, passwords_in, redact_dsn

        for secret in self._hidden:
            if len(secret.reveal()) >= SHORTEST_REPLACED:
                text = text.replace(secret.reveal(), HIDDEN)
        token = self._token
        if token is not None and len(token.reveal()) >= SHORTEST_REPLACED:
            text = text.replace(token.reveal(), HIDDEN)
        if self._loaded.config.database.dsn is None:
            return text
        dsn = self._loaded.config.database.dsn.reveal()
        text = text.replace(dsn, redact_dsn(dsn))
        for password in passwords_in(dsn):
            text = text.replace(password, HIDDEN)
        return text
