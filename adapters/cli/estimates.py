"""Options beside `--estimate`."""

from __future__ import annotations

from .errors import BadInputError


def refuse_beside_estimate(job: str = "a build", does: str = "builds", **options: object) -> None:
    """Raise `BadInputError` for the first option that is given; each is for the `job` alone."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise BadInputError(
                f"--{name.replace('_', '-')} is for {job}, and --estimate {does} nothing",
                remedy="leave one of them out",
            )
