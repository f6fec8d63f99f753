"""A dataset can't be used as it is asked for."""

from __future__ import annotations

from .root import TileCacheError


class DatasetError(TileCacheError):
    """A dataset can't be used as it is asked for."""


class UnknownDatasetError(DatasetError):
    """No dataset of that name is defined."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no dataset {name!r} is defined",
            remedy=f"define it with `aerotile datasets define {name}`; `aerotile datasets list` shows all",
        )
        self.name = name


class DatasetConflictError(DatasetError):
    """A dataset's name stands for other facts, or its source has changed; nothing was changed.

    `differences` says each difference: what is defined, and what was given.
    """

    def __init__(self, name: str, differences: tuple[str, ...]) -> None:
        super().__init__(
            f"the dataset {name} is defined otherwise: {'; '.join(differences)}",
            remedy="a changed source is another dataset: define it under another name; `aerotile datasets "
            "amend` corrects licence, attribution, permission and capture date",
        )
        self.name = name
        self.differences = differences


class DatasetSourceChangedError(DatasetError):
    """The source at hand has another digest than the dataset's; nothing was stored."""

    def __init__(self, name: str, defined_sha256: str, found_sha256: str) -> None:
        super().__init__(
            f"the source has changed since the dataset {name} was defined: its SHA-256 is {found_sha256}, "
            f"not {defined_sha256}",
            remedy="define what lies there now as another dataset: aerotile datasets define",
        )
        self.name = name
        self.defined_sha256 = defined_sha256
        self.found_sha256 = found_sha256


class DatasetUndatedError(DatasetError):
    """Neither the dataset nor the caller has a capture date for the tiles; nothing was stored."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the dataset {name} has no capture date of its own",
            remedy="say when its ground looked like that, for all tiles or for each",
        )
        self.name = name


class DatasetNotStorableError(DatasetError):
    """The licence of a dataset forbids to store its tiles offline; nothing was stored."""

    def __init__(self, name: str, licence: str) -> None:
        super().__init__(
            f"the dataset {name} may not be stored offline by its licence, {licence}",
            remedy="take another dataset; if the licence allows it now, `aerotile datasets amend "
            f"{name} --may-be-stored-offline yes`",
        )
        self.name = name
        self.licence = licence
