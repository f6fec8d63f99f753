"""Read the configuration: defaults, then a TOML file, then `AEROTILE_*` variables, then options.

A later source overrides an earlier one. A setting that is unknown, of the wrong type or out of range is
refused with `ConfigurationError`, in one line that names the setting and its source and shows no secret.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from ...domain.errors import ConfigurationError
from ..files.regular_file import read_regular
from .settings import ENVIRONMENT_PREFIX, AerotileConfig, Setting, in_toml, sections, settings, shown
from .values import BadValueError, Given, from_text, to_value, type_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_FILE = "aerotile.toml"
FILE_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"
MAX_FILE_BYTES = 1 << 20
_DEFAULT_ORIGIN = "default"


@attrs.frozen
class LoadedConfig:
    """A configuration, and the source of each of its values."""

    config: AerotileConfig
    origins: Mapping[str, str]
    """`default`, a file, a variable or an option, by the setting's full name."""


def load_config(
    *,
    file: Path | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AerotileConfig:
    """Read the configuration of a process from defaults, the file, variables and `root`; later ones win.

    `environment` and `folder` are by default the process's own variables and current folder. The file is
    `file`, else the variable `AEROTILE_CONFIG`, else `aerotile.toml` in `folder` when it exists. Relative
    paths are relative to the file that names them; those of variables and of `root` to `folder`.
    Raises `ConfigurationError`.
    """
    return read_config(file=file, root=root, environment=environment, folder=folder).config


def read_config(
    *,
    file: Path | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> LoadedConfig:
    """Read the configuration as `load_config` does, and the source of each value."""
    environment = os.environ if environment is None else environment
    if not isinstance(environment, Mapping):
        raise ConfigurationError(f"environment must be a mapping, got {type_name(environment)}")
    for each in (part for pair in environment.items() for part in pair):
        if not isinstance(each, str):
            raise ConfigurationError(f"environment must have texts alone, got {type_name(each)}")
    try:
        folder = (Path() if folder is None else _path(folder, "folder")).absolute()
    except OSError as error:
        raise ConfigurationError(
            f"the current folder can't be read: {error.strerror}", remedy="go to a folder that is there"
        ) from error
    given: dict[str, Given] = {}
    chosen = _choose_file(environment, folder, file)
    if chosen is not None:
        given |= _read_file(chosen)
    given |= _read_environment(environment, folder)
    if root is not None:
        given["root"] = Given(root, "in option --root", folder)
    given.setdefault("root", Given(AerotileConfig().root, _DEFAULT_ORIGIN, folder))
    return _build(given)


def _choose_file(environment: Mapping[str, str], folder: Path, file: Path | None) -> Path | None:
    if file is not None:
        chosen, named_by = _path(file, "file"), "option --config"
    elif environment.get(FILE_VARIABLE) == "":
        raise ConfigurationError(
            f"variable {FILE_VARIABLE} is empty", remedy="let it name the configuration file, or unset it"
        )
    elif FILE_VARIABLE in environment:
        chosen, named_by = Path(environment[FILE_VARIABLE]), f"variable {FILE_VARIABLE}"
    else:
        default = folder / DEFAULT_FILE
        # A link to a missing file was meant to lead to settings: a flight without them must not begin.
        return default if default.is_symlink() or _is_there(default, Path.exists) else None
    chosen = folder / chosen
    if not _is_there(chosen, Path.is_file):
        raise ConfigurationError(
            f"no configuration file {chosen} (named by {named_by})", remedy="create it or correct its name"
        )
    return chosen


def _path(given: Any, name: str) -> Path:
    if not isinstance(given, (str, Path)):
        raise ConfigurationError(f"{name} must be a path, got {type_name(given)}")
    return Path(given)


def _is_there(path: Path, look: Callable[[Path], bool]) -> bool:
    try:
        return look(path)
    except OSError as error:
        raise ConfigurationError(f"can't read configuration file {path}: {error.strerror}") from error


def _read_file(path: Path) -> dict[str, Given]:
    try:
        document = tomllib.loads(read_regular(path, MAX_FILE_BYTES, follow=True).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"can't read configuration file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        # A decoder's message may quote the line, which may hold a password.
        reason = re.search(r"\(at line \d+, column \d+\)|\(at end of document\)", str(error))
        raise ConfigurationError(
            f"{path} is not TOML" + (f" {reason[0]}" if reason else ""), remedy="correct the file's syntax"
        ) from error
    origin = f"in {path}"
    folder = path.absolute().parent
    return {name: Given(value, origin, folder) for name, value in _flatten(document, origin).items()}


def _flatten(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The file's values by full name, unknown keys refused."""
    known = {setting.name: setting for setting in settings()}
    section_names = set(sections())
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in section_names:
            if not isinstance(value, Mapping):
                raise ConfigurationError(
                    f"{key} must be a section, got {type_name(value)}, {origin}", remedy=f"write [{key}]"
                )
            for inner, inner_value in value.items():
                name = f"{key}.{inner}"
                if name not in known:
                    raise _unknown("key", name, list(known), origin)
                values[name] = inner_value
        elif key in known and "." not in key:  # "section.key" in quotes would be a second name of one setting
            values[key] = value
        elif isinstance(value, Mapping):
            raise _unknown("section", key, sorted(section_names), origin)
        else:
            raise _unknown("key", key, list(known), origin)
    return values


def _read_environment(environment: Mapping[str, str], folder: Path) -> dict[str, Given]:
    by_variable = {setting.variable: setting for setting in settings()}
    given: dict[str, Given] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in by_variable:
            raise _unknown("variable", variable, [*by_variable, FILE_VARIABLE], "in the environment")
        setting = by_variable[variable]
        try:
            text.encode()
            value = from_text(setting, text)
        except UnicodeEncodeError:
            raise _refusal(setting, "must be UTF-8 text", f"in variable {variable}") from None
        except BadValueError as refused:
            raise _refusal(setting, str(refused), f"in variable {variable}") from None
        given[setting.name] = Given(value, f"in variable {variable}", folder)
    return given


def _build(given: Mapping[str, Given]) -> LoadedConfig:
    arguments: dict[str | None, dict[str, Any]] = {None: {}} | {name: {} for name in sections()}
    origins: dict[str, str] = {}
    by_field = {(setting.section, setting.key): setting for setting in settings()}
    for setting in by_field.values():
        source = given.get(setting.name)
        if source is None:
            origins[setting.name] = _DEFAULT_ORIGIN
            continue
        origins[setting.name] = source.origin.removeprefix("in ")
        try:
            arguments[setting.section][setting.key] = to_value(setting, source)
        except BadValueError as refused:
            raise _refusal(setting, str(refused), source.origin) from None
    built: dict[str, Any] = {}
    for name, kind in sections().items():
        try:
            built[name] = kind(**arguments[name])
        except ValueError as error:
            # The constructors' messages begin with the name of the field that they refuse.
            key, _, rest = str(error).partition(" ")
            setting = by_field[name, key]
            raise _refusal(setting, rest, _origin(given, name, arguments[name], setting)) from error
    try:
        config = AerotileConfig(**arguments[None], **built)
    except ValueError as error:  # two sections that don't go together; it begins with the full name
        name, _, rest = str(error).partition(" ")
        setting = next(each for each in by_field.values() if each.name == name)
        raise _refusal(setting, rest, given[name].origin) from error
    return LoadedConfig(config, origins)


def _origin(given: Mapping[str, Given], section: str, named: Mapping[str, Any], setting: Setting) -> str:
    """The source of a refused value; of a default, the sources of its section's other values."""
    if setting.name in given:
        return given[setting.name].origin
    return ", ".join(dict.fromkeys(given[f"{section}.{key}"].origin for key in named))


def _refusal(setting: Setting, rest: str, origin: str) -> ConfigurationError:
    default = None if setting.default is None else in_toml(shown(setting.default))
    remedy = f"correct it or leave it out (then it is {default})" if default is not None else "correct it"
    return ConfigurationError(f"{setting.name} {rest}, {origin}", remedy=remedy)


def _unknown(what: str, name: str, known: list[str], origin: str) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        # The right key in the wrong section has a common end, but no high ratio.
        near = [candidate for candidate in known if candidate.rpartition(".")[2] == name.rpartition(".")[2]][
            :1
        ]
    remedy = f"did you mean {near[0]}?" if near else "remove it"
    return ConfigurationError(f"unknown {what} {name}, {origin}", remedy=remedy)
