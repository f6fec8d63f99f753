"""Every setting of Aerotile, as one frozen tree.

A setting is named `section.key`, in `aerotile.toml` as `key` under `[section]`, in the environment as
`AEROTILE_SECTION_KEY`. `loader` reads them; `settings` lists them with their meaning, and a test compares
docs/operations.md with that list. Constructors raise `ValueError` with the refused value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from stat import S_ISDIR
from typing import Any, get_type_hints

import attrs

from .base_section import BaseConfig, BaseMemory, BaseVerify
from .descriptor_section import DescriptorConfig
from .fields import instance, setting
from .health_section import HealthConfig
from .recall_section import RecallConfig
from .secret import HIDDEN, Secret, redact_dsn
from .sections import (
    BudgetConfig,
    DatabaseConfig,
    FreshnessConfig,
    IndexConfig,
    LruConfig,
    ReadsConfig,
    RecordConfig,
    RecordLookups,
    TilesConfig,
)
from .upload_section import UploadConfig

__all__ = [
    "ENVIRONMENT_PREFIX",
    "AerotileConfig",
    "BaseConfig",
    "BaseMemory",
    "BaseVerify",
    "BudgetConfig",
    "DatabaseConfig",
    "DescriptorConfig",
    "FreshnessConfig",
    "HealthConfig",
    "IndexConfig",
    "LruConfig",
    "ReadsConfig",
    "RecallConfig",
    "RecordConfig",
    "RecordLookups",
    "Setting",
    "TilesConfig",
    "UploadConfig",
    "sections",
    "settings",
    "shown",
]

ENVIRONMENT_PREFIX = "AEROTILE_"


@attrs.frozen(kw_only=True, cache_hash=True)
class AerotileConfig:
    """The whole configuration. `AerotileConfig()` works as it is, in the current folder, embedded.

    Relative paths are those of the folder that is current when the first part is built.
    """

    root: Path = setting(
        Path("aerotile-data"),
        "Folder that holds tiles, index, flight record and the embedded database.",
        kind=Path,
    )
    database: DatabaseConfig = attrs.field(factory=DatabaseConfig, validator=instance(DatabaseConfig))
    base: BaseConfig = attrs.field(factory=BaseConfig, validator=instance(BaseConfig))
    budget: BudgetConfig = attrs.field(factory=BudgetConfig, validator=instance(BudgetConfig))
    descriptor: DescriptorConfig = attrs.field(factory=DescriptorConfig, validator=instance(DescriptorConfig))
    freshness: FreshnessConfig = attrs.field(factory=FreshnessConfig, validator=instance(FreshnessConfig))
    health: HealthConfig = attrs.field(factory=HealthConfig, validator=instance(HealthConfig))
    index: IndexConfig = attrs.field(factory=IndexConfig, validator=instance(IndexConfig))
    lru: LruConfig = attrs.field(factory=LruConfig, validator=instance(LruConfig))
    reads: ReadsConfig = attrs.field(factory=ReadsConfig, validator=instance(ReadsConfig))
    recall: RecallConfig = attrs.field(factory=RecallConfig, validator=instance(RecallConfig))
    record: RecordConfig = attrs.field(factory=RecordConfig, validator=instance(RecordConfig))
    tiles: TilesConfig = attrs.field(factory=TilesConfig, validator=instance(TilesConfig))
    upload: UploadConfig = attrs.field(factory=UploadConfig, validator=instance(UploadConfig))

    def __attrs_post_init__(self) -> None:
        shared = set(self.base.public_keys) & set(self.recall.public_keys)
        if shared:
            raise ValueError(
                f"recall.public_keys must not list a key of base.public_keys, got {min(shared)}: "
                "who may seal a base may not recall"
            )

    @property
    def tiles_folder(self) -> Path:
        """Where the tiles' files are; any static web server can serve it."""
        return self.root / "tiles"

    @property
    def index_folder(self) -> Path:
        """Where the generations of the descriptor index are."""
        return self.root / "index"

    @property
    def base_folder(self) -> Path:
        """Where the generations of the sealed base are."""
        return self.root / "base"

    @property
    def recall_folder(self) -> Path:
        """Where the recall list in force is."""
        return self.root / "recall"

    @property
    def record_folder(self) -> Path:
        """Where the flight record is."""
        return self.root / "record"

    @property
    def health_file(self) -> Path:
        """The file that says how the flight stack's process is."""
        return self.root / "health.json" if self.health.file is None else self.health.file

    @property
    def postgres_folder(self) -> Path:
        """Where the embedded database is."""
        return self.root / "postgres"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """The folders that hold Aerotile's files alone: an open may remove what others put there."""
        return (
            self.tiles_folder,
            self.index_folder,
            self.base_folder,
            self.recall_folder,
            self.record_folder,
            self.postgres_folder,
        )

    @property
    def has_store(self) -> bool:
        """Whether a database is configured, or an embedded one lies in the root, or may lie there."""
        if self.database.dsn is not None:
            return True
        try:
            # The cluster, not the folder around it, which an interrupted migrate leaves empty.
            return S_ISDIR((self.postgres_folder / "cluster").stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # e.g. a folder of another user: the start of the database says what is wrong
            return True

    def absolute(self) -> AerotileConfig:
        """The same with each relative path taken from the current folder of now, which may change later."""
        config = self
        for one in settings():
            value = one.value(config)
            if isinstance(value, Path):
                changes: dict[str, Any] = {one.key: value.absolute()}
                if one.section is not None:
                    changes = {one.section: attrs.evolve(getattr(config, one.section), **changes)}
                config = attrs.evolve(config, **changes)
        return config

    def describe(self) -> dict[str, Any]:
        """Every setting by its full name as a JSON-ready value, passwords replaced."""
        return {setting.name: setting.shown(setting.value(self)) for setting in settings()}


def shown(value: Any) -> Any:
    """A setting's value as JSON, without secrets."""
    if isinstance(value, Secret):
        return redact_dsn(value.reveal())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return value


def in_toml(value: Any) -> str:
    """A value that `shown` made, for persons: a boolean and a list as a configuration file has them."""
    return json.dumps(value) if isinstance(value, (bool, list)) else str(value)


@attrs.frozen(kw_only=True)
class Setting:
    """One setting: its position in the tree and its meaning."""

    section: str | None
    key: str
    type: Any
    """The type of its value, resolved: a class, or a class `| None`."""
    default: Any
    unit: str | None
    """`bytes`, `s`, `pixels`, or None."""
    about: str

    @property
    def name(self) -> str:
        """Its full name, e.g. `budget.max_bytes`."""
        return self.key if self.section is None else f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it, e.g. `AEROTILE_BUDGET_MAX_BYTES`."""
        return ENVIRONMENT_PREFIX + self.name.replace(".", "_").upper()

    def shown(self, value: Any) -> Any:
        """A value of this setting as JSON: a database's address without passwords, a token hidden."""
        if isinstance(value, Secret) and self.key != "dsn":
            return HIDDEN
        return shown(value)

    def value(self, config: AerotileConfig) -> Any:
        """The value of this setting in a configuration."""
        return getattr(config if self.section is None else getattr(config, self.section), self.key)


def sections() -> dict[str, type[Any]]:
    """The sections' names and classes."""
    hints = get_type_hints(AerotileConfig)
    return {name: kind for name, kind in hints.items() if attrs.has(kind)}


def settings() -> Iterator[Setting]:
    """Every setting, in the order of the file."""
    parts: list[tuple[str | None, type[Any]]] = [(None, AerotileConfig), *sections().items()]
    for section, kind in parts:
        hints = get_type_hints(kind)
        for field in attrs.fields(kind):
            if "about" in field.metadata:
                yield Setting(
                    section=section,
                    key=field.name,
                    type=hints[field.name],
                    default=field.default,
                    unit=field.metadata["unit"],
                    about=field.metadata["about"],
                )
