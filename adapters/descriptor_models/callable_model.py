"""`CallableModel`: any Python callable as a `DescriptorModel`, named as `module:name`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ...domain.errors import DescriptorModelError
from ...domain.values.pictures import Descriptors, Pictures, check_headings, check_pictures
from ...domain.values.validators import is_sha256
from .checks import checked_answer, model_name


class CallableModel:
    """A callable from pictures to descriptors, with facts as attributes; see `DescriptorModel`.

    `digest` is needed: nothing but the callable knows which weights it uses. `label` is by default the
    callable's own name, `headings` is (0,).
    """

    def __init__(self, describe: Callable[[Pictures], Any], where: str) -> None:
        """`where` names the callable in errors. Raises `DescriptorModelError`."""
        if not callable(describe):
            raise DescriptorModelError(
                f"{where} is a {type(describe).__name__} and can't be called", remedy="name a callable"
            )
        digest = getattr(describe, "digest", None)
        if not isinstance(digest, str) or not is_sha256(digest):
            raise DescriptorModelError(
                f"{where} states no digest, so descriptors of other weights would pass for its own",
                remedy="give it an attribute `digest`: the SHA-256 of its weights, as 64 lower hex digits",
            )
        try:
            self.headings = check_headings(getattr(describe, "headings", (0,)))
        except (TypeError, ValueError) as error:
            raise DescriptorModelError(f"{where}: {error}", remedy="correct its `headings`") from error
        self._describe, self.digest = describe, digest
        self.name = model_name(str(getattr(describe, "label", where.rpartition(":")[2])), digest)

    @classmethod
    def named(cls, where: str) -> CallableModel:
        """The callable `module:name`; the module is imported. Raises `DescriptorModelError`."""
        module, colon, name = where.partition(":")
        if not (colon and module and name):
            raise DescriptorModelError(f"a callable is named MODULE:NAME, got {where!r}")
        try:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (Exception, SystemExit) as error:
            _let_ends_through(error)
            raise DescriptorModelError(
                f"can't import {where}: {type(error).__name__}: {error}",
                remedy="install the module, or name its folder in PYTHONPATH",
            ) from error
        return cls(found, where)

    def describe(self, pictures: Pictures) -> Descriptors:
        check_pictures(pictures)
        try:
            answer = self._describe(pictures)
        except (Exception, SystemExit) as error:
            _let_ends_through(error)
            raise DescriptorModelError(
                f"{self.name} fails: {type(error).__name__}: {error}", remedy="correct the callable"
            ) from error
        return checked_answer(answer, len(pictures), self.name)


def _let_ends_through(error: BaseException) -> None:
    """Raise a subclass of `SystemExit`, with which a program's handler of a signal ends the program.

    A bare `SystemExit` is that of a `sys.exit` in the callable, whose code would pass for that of the build.
    """
    if isinstance(error, SystemExit) and type(error) is not SystemExit:
        raise error
