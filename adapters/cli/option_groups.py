"""Options that belong together, which a command takes as one value."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import attrs


def gather(
    parameter: str, group: type[attrs.AttrsInstance]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that hands the options named as the fields of `group` over as one argument `parameter`.

    A field whose option the command does not have takes its default.
    """
    names = [field.name for field in attrs.fields(group)]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)  # with the options that click has noted at the function
        def call(*arguments: Any, **options: Any) -> Any:
            given = {name: options.pop(name) for name in names if name in options}
            return function(*arguments, **{parameter: group(**given)}, **options)

        return call

    return decorate
