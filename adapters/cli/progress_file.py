"""The state of a check on the disk, so that it goes on after an interruption."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..files.atomic_file import atomic_file
from ..files.regular_file import read_regular
from .errors import BadInputError

_logger = logging.getLogger(__name__)
_MOST_BYTES = 256 << 20
"""Room for half a million findings; nothing larger is read into memory."""
_SAVE_EVERY_S = 2.0
_MODE = 0o640
"""A user who may write the file can make a later check skip what is damaged."""


class ProgressFile:
    """One JSON file in the root folder, written anew now and then; for one process."""

    def __init__(self, path: Path, facts: Callable[[], Mapping[str, Any]], command: str) -> None:
        """`facts` are saved; `command` is what begins such a check."""
        self.path = path
        self._facts = facts
        self.remedy = f"run {command} without --resume"
        self._saved_at = time.monotonic()
        self._warned = False

    def read(self) -> Any:
        """What an earlier run left. Raises `BadInputError` when there is nothing, or no JSON."""
        try:
            return json.loads(read_regular(self.path, _MOST_BYTES))
        except FileNotFoundError:
            raise BadInputError("there is no interrupted check to go on with", remedy=self.remedy) from None
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInputError(f"{self.path} can't be read: {reason}", remedy=self.remedy) from error

    def no_check(self) -> BadInputError:
        """The error for JSON that no check leaves."""
        return BadInputError(f"{self.path} is not what a check leaves", remedy=self.remedy)

    def save_now_and_then(self) -> None:
        """Save when the last time is seconds ago, so that a resumed check repeats little.

        A full or read-only disk does not end the check: such a disk is a reason to make one.
        """
        if time.monotonic() - self._saved_at >= _SAVE_EVERY_S:
            try:
                self.save()
            except OSError as error:
                self._saved_at = time.monotonic()
                self._warn("can't be written", error)

    def save(self) -> None:
        """Write the file anew, by rename. Raises `OSError`."""
        # Two checks may run at the same time.
        temporary = f".{self.path.name}.{secrets.token_hex(4)}.tmp"
        with atomic_file(self.path, _MODE, durable=False, temporary=temporary) as file:
            file.write(json.dumps(self._facts()).encode("ascii"))
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Remove the file: a check at its end can't be resumed."""
        try:
            self.path.unlink(missing_ok=True)
        except IsADirectoryError:
            pass  # a folder can't be resumed from
        except OSError as error:
            self._warn("can't be removed", error)

    def _warn(self, what: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("%s %s: %s", self.path, what, error.strerror)
