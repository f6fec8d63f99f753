"""Read the configuration: defaults, then a TOML file, then `AEROTILE_*` variables, then options.

Each later one overrides the earlier. Whatever is unknown, of the wrong type or out of range is refused with
`ConfigurationError`, in one line that names the setting and the file or variable, and never shows a secret.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import attrs

from ...domain.errors import ConfigurationError
from ..files.regular_file import read_regular
from .secret import Secret
from .settings import ENVIRONMENT_PREFIX, AerotileConfig, Setting, sections, settings, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_FILE = "aerotile.toml"
FILE_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"
MAX_FILE_BYTES = 1 << 20
_DEFAULT_ORIGIN = "default"

_BYTE_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    prefix + suffix: int(base ** (power + 1))
    for power, prefix in enumerate("kmgt")
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_BYTE_SIZE = re.compile(r"\s*(\d+)(?:\.(\d+))?\s*([A-Za-z]*)\s*", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@attrs.frozen
class LoadedConfig:
    """A configuration, and where each of its values came from."""

    config: AerotileConfig
    origins: Mapping[str, str]
    """`default`, a file, a variable or an option, by the setting's full name."""


@attrs.frozen
class _Given:
    """A value as it was given, before it was read."""

    value: Any
    origin: str
    """As an error names it, e.g. `in aerotile.toml`."""
    folder: Path
    """What a relative path is relative to."""


class _BadValueError(ValueError):
    """What is wrong with a value, as the rest of a sentence that begins with the setting's name."""


def load_config(
    *,
    file: Path | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AerotileConfig:
    """Read the configuration that holds for a process; see `read_config`. Raises `ConfigurationError`."""
    return read_config(file=file, root=root, environment=environment, folder=folder).config


def read_config(
    *,
    file: Path | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> LoadedConfig:
    """Read the configuration that holds for a process, and note where each value came from.

    `environment` and `folder` are by default the process's own variables and current folder. The file is
    `file`, else the variable `AEROTILE_CONFIG`, else `aerotile.toml` in `folder` when it exists. Relative
    paths are relative to the file that names them; those of variables and of `root` to `folder`.
    Raises `ConfigurationError`.
    """
    environment = os.environ if environment is None else environment
    folder = Path.cwd() if folder is None else folder.absolute()
    given: dict[str, _Given] = {}
    chosen = _choose_file(environment, folder, file)
    if chosen is not None:
        given |= _read_file(chosen)
    given |= _read_environment(environment, folder)
    if root is not None:
        given["root"] = _Given(root, "in option --root", folder)
    given.setdefault("root", _Given(AerotileConfig().root, _DEFAULT_ORIGIN, folder))
    return _build(given)


def parse_byte_size(text: str) -> int:
    """Read a number of bytes such as `500 MB`, `64 GiB`, `1.5 TiB`. Raises `ValueError`."""
    match = _BYTE_SIZE.fullmatch(text)
    if match is None or match[3].lower() not in _BYTE_UNITS:
        raise ValueError(f'must be a number of bytes or a size such as "64 GiB", got {text!r}')
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    scale: int = 10 ** len(fraction)
    size, rest = divmod(int(whole + fraction) * _BYTE_UNITS[unit], scale)
    if rest:
        raise ValueError(f"must be a whole number of bytes, got {text!r}")
    return size


def _choose_file(environment: Mapping[str, str], folder: Path, file: Path | None) -> Path | None:
    if file is not None:
        chosen, named_by = file, "option --config"
    elif environment.get(FILE_VARIABLE):
        chosen, named_by = Path(environment[FILE_VARIABLE]), f"variable {FILE_VARIABLE}"
    else:
        default = folder / DEFAULT_FILE
        # A link that leads nowhere was meant to be one to the settings: flying without them is no answer.
        return default if default.is_symlink() or _is_there(default, Path.exists) else None
    chosen = folder / chosen
    if not _is_there(chosen, Path.is_file):
        raise ConfigurationError(
            f"no configuration file {chosen} (named by {named_by})", remedy="create it or correct its name"
        )
    return chosen


def _is_there(path: Path, look: Callable[[Path], bool]) -> bool:
    try:
        return look(path)
    except OSError as error:
        raise ConfigurationError(f"can't read configuration file {path}: {error.strerror}") from error


def _read_file(path: Path) -> dict[str, _Given]:
    try:
        document = tomllib.loads(read_regular(path, MAX_FILE_BYTES, follow=True).decode())
    except OSError as error:
        raise ConfigurationError(f"can't read configuration file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        # A decoder's message may quote the line, and the line may hold a password.
        reason = re.search(r"\(at line \d+, column \d+\)|\(at end of document\)", str(error))
        raise ConfigurationError(
            f"{path} is not TOML" + (f" {reason[0]}" if reason else ""), remedy="correct the file's syntax"
        ) from error
    origin = f"in {path}"
    folder = path.absolute().parent
    return {name: _Given(value, origin, folder) for name, value in _flatten(document, origin).items()}


def _flatten(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The file's values by full name, unknown keys refused."""
    known = {setting.name: setting for setting in settings()}
    section_names = set(sections())
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in section_names:
            if not isinstance(value, Mapping):
                raise ConfigurationError(
                    f"{key} must be a section, got {_type_name(value)}, {origin}", remedy=f"write [{key}]"
                )
            for inner, inner_value in value.items():
                name = f"{key}.{inner}"
                if name not in known:
                    raise _unknown("key", name, list(known), origin)
                values[name] = inner_value
        elif key in known:
            values[key] = value
        elif isinstance(value, Mapping):
            raise _unknown("section", key, sorted(section_names), origin)
        else:
            raise _unknown("key", key, list(known), origin)
    return values


def _read_environment(environment: Mapping[str, str], folder: Path) -> dict[str, _Given]:
    by_variable = {setting.variable: setting for setting in settings()}
    given: dict[str, _Given] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in by_variable:
            raise _unknown("variable", variable, [*by_variable, FILE_VARIABLE], "in the environment")
        setting = by_variable[variable]
        try:
            text.encode()
            value = _from_text(setting, text)
        except UnicodeEncodeError:
            raise _refusal(setting, "must be UTF-8 text", f"in variable {variable}") from None
        except _BadValueError as refused:
            raise _refusal(setting, str(refused), f"in variable {variable}") from None
        given[setting.name] = _Given(value, f"in variable {variable}", folder)
    return given


def _from_text(setting: Setting, text: str) -> Any:
    """The value that a TOML file would have held, from a variable's text."""
    kind = _plain_type(setting.type)
    if kind is bool:
        if text.strip().lower() not in _BOOLEANS:
            raise _BadValueError(f"must be true or false, got {text!r}")
        return _BOOLEANS[text.strip().lower()]
    if kind is int and setting.unit != "bytes":
        try:
            return int(text)
        except ValueError:
            raise _BadValueError(f"must be a whole number, got {text!r}") from None
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise _BadValueError(f"must be a number, got {text!r}") from None
    return text


def _build(given: Mapping[str, _Given]) -> LoadedConfig:
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
            arguments[setting.section][setting.key] = _to_value(setting, source)
        except _BadValueError as refused:
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
    return LoadedConfig(AerotileConfig(**arguments[None], **built), origins)


def _origin(given: Mapping[str, _Given], section: str, named: Mapping[str, Any], setting: Setting) -> str:
    """Where a refused value was given; for one that a default clashes with, where its neighbours were."""
    if setting.name in given:
        return given[setting.name].origin
    return ", ".join(dict.fromkeys(given[f"{section}.{key}"].origin for key in named))


def _to_value(setting: Setting, given: _Given) -> Any:
    """The value in the setting's type; what the constructors check is left to them."""
    kind, value = _plain_type(setting.type), given.value
    if kind is Secret:
        if not isinstance(value, str):
            raise _BadValueError(f"must be a text, got {_type_name(value)}")
        return Secret(value) if value else None
    if kind is Path:
        if isinstance(value, str) and not value.strip():
            raise _BadValueError("must name a folder, got an empty text")
        if not isinstance(value, (str, Path)):
            raise _BadValueError(f"must be a text, got {_type_name(value)}")
        return _to_path(given.folder, value)
    if issubclass(kind, Enum):
        values = [choice.value for choice in kind]
        if value not in values:
            raise _BadValueError(f"must be one of {', '.join(values)}, got {value!r}")
        return kind(value)
    if kind is int and setting.unit == "bytes" and isinstance(value, str):
        try:
            return parse_byte_size(value)
        except ValueError as error:
            raise _BadValueError(str(error)) from None
    if kind is bool and not isinstance(value, bool):
        raise _BadValueError(f"must be true or false, got {value!r}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _BadValueError("must be a number that a float can hold") from None
    return value


def _to_path(folder: Path, value: str | Path) -> Path:
    try:
        path = folder / Path(value).expanduser()
    except RuntimeError:
        raise _BadValueError(f"names the home of a user that is not known here, got {str(value)!r}") from None
    try:
        # The database's client and the flight record take text, not bytes.
        str(path).encode()
    except UnicodeEncodeError:
        raise _BadValueError(f"must be UTF-8 text, got {str(path)!r}") from None
    if "\0" in str(path):
        raise _BadValueError(f"must hold no null character, got {str(value)!r}")
    return path


def _plain_type(kind: Any) -> type[Any]:
    """The class of a type such as `Path | None`."""
    plain = [part for part in get_args(kind) if part is not type(None)] or [kind]
    assert isinstance(plain[0], type)
    return plain[0]


def _type_name(value: Any) -> str:
    return {
        dict: "a section",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }.get(type(value), f"a {type(value).__name__}")


def _refusal(setting: Setting, rest: str, origin: str) -> ConfigurationError:
    default = shown(setting.default)
    remedy = f"correct it or leave it out (then it is {default})" if default is not None else "correct it"
    return ConfigurationError(f"{setting.name} {rest}, {origin}", remedy=remedy)


def _unknown(what: str, name: str, known: list[str], origin: str) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        # A right key in the wrong section has a long common end, not a high ratio.
        near = [candidate for candidate in known if candidate.rpartition(".")[2] == name.rpartition(".")[2]][
            :1
        ]
    remedy = f"did you mean {near[0]}?" if near else "remove it"
    return ConfigurationError(f"unknown {what} {name}, {origin}", remedy=remedy)
